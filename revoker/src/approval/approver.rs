//! Who may answer: people enrolled with a one-time code of their own.

use std::fmt;

use detector::Timestamp;
use lettre::Address;
use serde::Serialize;

use super::{Factor, totp};
use crate::keys::KeyError;
use crate::revoker::Revoker;
use crate::store::{StoreError, approvers, enrolments};

/// The most approvers there may be.
pub const APPROVERS_MAX: usize = 1_000;

/// Other names of one approver that are kept.
pub(super) const ALSO_MAX: usize = 16;

/// What an authenticator app files the code under.
pub(super) const ISSUER: &str = "Tocsin";

/// An approver's name: 1 to 64 characters, no colon (authenticator apps split there) and no control characters. Case of
/// ASCII letters does not tell two apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ApproverName(String);

/// The text is no approver's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name for an approver: 1 to 64 characters, no colon, no control characters")]
pub struct NameError(pub String);

impl ApproverName {
    /// From what was typed; surrounding spaces are dropped.
    pub fn new(typed: &str) -> Result<Self, NameError> {
        let name = typed.trim();
        let length = name.chars().count();
        if (1..=64).contains(&length) && !name.contains(|c: char| c == ':' || c.is_control()) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError(name.chars().take(64).collect()))
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What tells two names apart.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// A name that nobody can have: work that must look the same is done for it.
    pub(super) fn nobody() -> Self {
        Self(String::new())
    }

    /// What the secret is sealed for.
    pub(super) fn purpose(&self) -> String {
        purpose(&self.0)
    }
}

/// What the secret of the approver of this name is sealed for.
pub(crate) fn purpose(name: &str) -> String {
    format!("approver/{}", name.to_ascii_lowercase())
}

impl fmt::Display for ApproverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An approver as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApproverRow {
    /// Their name here.
    pub name: ApproverName,
    /// Their names elsewhere (e-mail address, subject at the identity provider): whoever acts for one of them is not let
    /// go on by this approver.
    pub also: Vec<String>,
    /// Since when.
    pub enrolled_at: Timestamp,
    /// By whom.
    pub enrolled_by: String,
    /// Since when their codes no longer count.
    pub disabled_at: Option<Timestamp>,
    /// Until when their codes are not looked at, after too many wrong ones.
    pub locked_until: Option<Timestamp>,
    /// Whether they have enrolled one-time codes.
    pub has_totp: bool,
    /// How many passkeys they have.
    pub passkeys: u32,
    /// How many recovery codes they have left.
    pub recovery_codes: u32,
}

impl ApproverRow {
    /// Somebody who has enrolled nothing yet.
    pub(crate) fn new(name: ApproverName, also: Vec<String>, now: Timestamp, by: String) -> Self {
        Self {
            name,
            also,
            enrolled_at: now,
            enrolled_by: by,
            disabled_at: None,
            locked_until: None,
            has_totp: false,
            passkeys: 0,
            recovery_codes: 0,
        }
    }

    /// Whether they can say yes to what takes `factor`.
    pub fn can(&self, factor: Factor) -> bool {
        let has = match factor {
            Factor::Push => !self.also.is_empty(),
            Factor::Totp | Factor::Recovery => self.has_totp || self.passkeys > 0,
            Factor::Passkey => self.passkeys > 0,
        };
        has && self.disabled_at.is_none()
    }

    /// The first of their names that is an e-mail address.
    pub fn address(&self) -> Option<Address> {
        let mut names = self.also.iter().map(String::as_str).chain([self.name.as_str()]);
        names.find_map(|name| name.parse().ok())
    }

    /// Whether `subject` is this person, as far as anybody told us.
    pub fn is(&self, subject: &str) -> bool {
        std::iter::once(self.name.as_str())
            .chain(self.also.iter().map(String::as_str))
            .any(|name| name.eq_ignore_ascii_case(subject))
    }
}

/// A new approver. The address holds the secret and is shown once: it cannot be read back.
pub struct Enrolled {
    /// Their name.
    pub name: ApproverName,
    address: String,
}

impl Enrolled {
    /// The `otpauth://` address for an authenticator app, as text or as a QR code.
    pub fn expose_address(&self) -> &str {
        &self.address
    }
}

impl fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Enrolled({}, …)", self.name)
    }
}

/// Why somebody was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The name is taken.
    #[error("`{0}` is enrolled already; disable them first to give them a new secret")]
    Enrolled(ApproverName),
    /// There are enough.
    #[error("there are {APPROVERS_MAX} approvers already")]
    Approvers,
    /// Too many other names.
    #[error("an approver has at most {ALSO_MAX} other names of at most 256 characters")]
    Also,
    /// The secret cannot be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The address cannot be made.
    #[error("no otpauth address: {0}")]
    Address(totp_rs::TotpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Enrols `name`; `by` is who asked for it, for the audit.
pub async fn enrol(
    revoker: &Revoker,
    name: ApproverName,
    also: Vec<String>,
    by: String,
    now: Timestamp,
) -> Result<Enrolled, EnrolError> {
    if also.len() > ALSO_MAX || also.iter().any(|name| name.is_empty() || name.len() > 256) {
        return Err(EnrolError::Also);
    }
    let secret = totp::new_secret();
    let address = totp::address(&secret, name.as_str(), ISSUER).map_err(EnrolError::Address)?;
    let sealed = revoker.keys().seal(&name.purpose(), &secret)?;
    let row = ApproverRow { has_totp: true, ..ApproverRow::new(name, also, now, by) };
    let name = row.name.clone();
    revoker
        .write(move |w| {
            let known = approvers::by_name(w.tx(), row.name.as_str()).map_err(StoreError::from)?;
            if known.is_some_and(|known| known.row.disabled_at.is_none()) {
                return Err(EnrolError::Enrolled(row.name));
            }
            if approvers::all(w.tx()).map_err(StoreError::from)?.len() >= APPROVERS_MAX {
                return Err(EnrolError::Approvers);
            }
            enrolments::forget(w.tx(), &row.name).map_err(StoreError::from)?;
            approvers::put(w.tx(), &row, &sealed).map_err(StoreError::from)?;
            w.audit(None, "approver.enrolled", &row, now)?;
            Ok(())
        })
        .await?;
    Ok(Enrolled { name, address })
}

/// All approvers, by name.
pub async fn list(revoker: &Revoker) -> Result<Vec<ApproverRow>, StoreError> {
    revoker.read(|db| approvers::all(db).map_err(StoreError::from)).await
}

/// From now on no code of theirs counts. False if there is no such approver or they were disabled before.
pub async fn disable(
    revoker: &Revoker,
    name: ApproverName,
    by: String,
    now: Timestamp,
) -> Result<bool, StoreError> {
    revoker
        .write(move |w| {
            let disabled = approvers::disable(w.tx(), name.as_str(), now)?;
            if disabled {
                w.audit(None, "approver.disabled", &serde_json::json!({ "name": name, "by": by }), now)?;
            }
            Ok(disabled)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_people_and_apps() {
        for good in ["alice", " Alice Meyer ", "Zoë", &"x".repeat(64)] {
            assert!(ApproverName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "a:b", "a\nb", &"x".repeat(65)] {
            assert!(ApproverName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_person_is_known_by_all_their_names() {
        let (name, also) = (ApproverName::new("alice").unwrap(), vec!["alice@example.com".into()]);
        let row = ApproverRow::new(name, also, Timestamp::default(), "cli".into());
        assert!(row.is("Alice") && row.is("ALICE@example.com"));
        assert!(!row.is("alice@example.org"));
    }
}
