//! How people become approvers: an operator makes a link, and whoever has it enrols a passkey, a one-time code or both, once each.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detector::Timestamp;
use serde_json::json;

use super::approver::{ALSO_MAX, APPROVERS_MAX, ISSUER};
use super::totp::{self, Checked};
use super::webauthn::{Bound, Options, PasskeyError, Registration};
use super::{ApproverName, ApproverRow, Digest, EnrolError, recovery};
use crate::keys::Keys;
use crate::revoker::{Revoker, Write};
use crate::store::enrolments::Enrolment as Kept;
use crate::store::{StoreError, approvers, enrolments, passkeys};

/// How long a link is good for.
pub const LINK_LIFE: Duration = Duration::from_hours(24);

/// How long a browser has to answer a challenge.
pub const CEREMONY_LIFE: Duration = Duration::from_mins(5);

/// Characters of a passkey's label, at most.
const LABEL_CHARS_MAX: usize = 64;

/// What a link holds: 32 random bytes in base64url. Whoever has it may enrol, so it is not printed but where it is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// From an address.
    pub fn new(text: &str) -> Option<Self> {
        let is_one =
            text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        is_one.then(|| Self(text.to_owned()))
    }

    /// The page's path on this server.
    pub fn path(&self) -> String {
        format!("/enrol/{}", self.0)
    }

    /// What is kept of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link(…)")
    }
}

/// Makes a link for `name`, who is an approver from now on and can answer once they have enrolled. Of who is one already it adds to
/// what they have; who was disabled begins anew.
pub async fn invite(
    revoker: &Revoker,
    name: ApproverName,
    also: Vec<String>,
    by: String,
    now: Timestamp,
) -> Result<Link, EnrolError> {
    if also.len() > ALSO_MAX || also.iter().any(|name| name.is_empty() || name.len() > 256) {
        return Err(EnrolError::Also);
    }
    let link = Link::random();
    let sealed = revoker.keys().seal(&name.purpose(), &totp::new_secret())?;
    let digest = link.digest();
    revoker
        .write(move |w| {
            let known = approvers::by_name(w.tx(), name.as_str()).map_err(StoreError::from)?;
            let is_active = known.is_some_and(|known| known.row.disabled_at.is_none());
            if !is_active {
                if approvers::all(w.tx()).map_err(StoreError::from)?.len() >= APPROVERS_MAX {
                    return Err(EnrolError::Approvers);
                }
                enrolments::forget(w.tx(), &name).map_err(StoreError::from)?;
                let row = ApproverRow::new(name.clone(), also, now, by.clone());
                approvers::put(w.tx(), &row, &[]).map_err(StoreError::from)?;
            }
            enrolments::put(w.tx(), &digest, (&name, &sealed), now + LINK_LIFE, now)
                .map_err(StoreError::from)?;
            w.audit(None, "approver.invited", &json!({ "name": name, "by": by }), now)?;
            Ok(())
        })
        .await?;
    Ok(link)
}

/// Where somebody with a link stands.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Whose link it is.
    pub name: ApproverName,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The address for an authenticator app, until a one-time code was enrolled by this link.
    pub otpauth: Option<String>,
    /// Whether a passkey may still be enrolled by it.
    pub may_passkey: bool,
}

/// What a link is good for; none where it has ended.
pub async fn standing(
    revoker: &Revoker,
    link: &Link,
    now: Timestamp,
) -> Result<Option<Enrolment>, EnrolError> {
    let digest = link.digest();
    let found = revoker.read(move |db| enrolments::get(db, &digest, now).map_err(StoreError::from)).await?;
    let Some(enrolment) = found else { return Ok(None) };
    let name = ApproverName::new(&enrolment.approver).map_err(|e| StoreError::damaged(e.to_string()))?;
    let otpauth = if enrolment.has_totp {
        None
    } else {
        let secret = revoker.keys().open_sealed(&name.purpose(), &enrolment.sealed)?;
        Some(totp::address(secret.expose(), name.as_str(), ISSUER).map_err(EnrolError::Address)?)
    };
    let may_passkey = !enrolment.has_passkey && revoker.relying_party().is_some();
    Ok(Some(Enrolment { name, expires_at: enrolment.expires_at, otpauth, may_passkey }))
}

/// What somebody enrols.
#[derive(Clone, Debug)]
pub enum Method {
    /// The one-time code that their app shows now.
    Totp(String),
    /// A passkey, and what they call it.
    Passkey(Registration, String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolling {
    /// Done; with the recovery codes where these are their first, shown once.
    Done(Vec<String>),
    /// Not the code of this secret.
    WrongCode,
    /// Not a passkey that was made here and now.
    WrongPasskey,
    /// The link has ended, or was used for this.
    Over,
}

/// Enrols a method by a link. Commit whatever comes back.
pub fn take(
    w: &mut Write<'_>,
    keys: &Keys,
    link: &Link,
    method: &Method,
    now: Timestamp,
) -> Result<Enrolling, EnrolError> {
    let digest = link.digest();
    let Some(enrolment) = enrolments::get(w.tx(), &digest, now).map_err(StoreError::from)? else {
        return Ok(Enrolling::Over);
    };
    let known = approvers::by_name(w.tx(), &enrolment.approver).map_err(StoreError::from)?;
    let Some(known) = known.filter(|known| known.row.disabled_at.is_none()) else {
        return Ok(Enrolling::Over);
    };
    let name = known.row.name;
    let refused = match method {
        Method::Totp(code) => take_totp(w, keys, (&digest, &enrolment), (&name, code), now)?,
        Method::Passkey(made, label) => take_passkey(w, (&digest, &enrolment), (&name, made, label), now)?,
    };
    if let Some(refused) = refused {
        return Ok(refused);
    }
    let factor = if matches!(method, Method::Totp(_)) { "totp" } else { "passkey" };
    w.audit(None, "approver.enrolled", &json!({ "name": name, "with": factor }), now)?;
    if enrolments::recovery_left(w.tx(), &name).map_err(StoreError::from)? > 0 {
        return Ok(Enrolling::Done(Vec::new()));
    }
    let (codes, digests): (Vec<String>, Vec<Digest>) = recovery::fresh(keys, &name).into_iter().unzip();
    enrolments::set_recovery(w.tx(), &name, &digests).map_err(StoreError::from)?;
    Ok(Enrolling::Done(codes))
}

fn take_totp(
    w: &mut Write<'_>,
    keys: &Keys,
    (link, enrolment): (&Digest, &Kept),
    (name, code): (&ApproverName, &str),
    now: Timestamp,
) -> Result<Option<Enrolling>, EnrolError> {
    if enrolment.has_totp {
        return Ok(Some(Enrolling::Over));
    }
    let secret = keys.open_sealed(&name.purpose(), &enrolment.sealed)?;
    match totp::check(secret.expose(), code, now, None).map_err(EnrolError::Address)? {
        Checked::Accepted { step } => {
            approvers::set_secret(w.tx(), name.as_str(), &enrolment.sealed, step)
                .map_err(StoreError::from)?;
            enrolments::took_totp(w.tx(), link, now).map_err(StoreError::from)?;
            Ok(None)
        }
        Checked::Spent | Checked::Wrong => Ok(Some(Enrolling::WrongCode)),
    }
}

fn take_passkey(
    w: &mut Write<'_>,
    (link, enrolment): (&Digest, &Kept),
    (name, made, label): (&ApproverName, &Registration, &str),
    now: Timestamp,
) -> Result<Option<Enrolling>, EnrolError> {
    if enrolment.has_passkey {
        return Ok(Some(Enrolling::Over));
    }
    let passkey = match registered(w, link, made, now)? {
        Ok(passkey) => passkey,
        Err(why) => {
            tracing::warn!(%why, "a passkey was not enrolled");
            return Ok(Some(Enrolling::WrongPasskey));
        }
    };
    let label: String = label.chars().filter(|c| !c.is_control()).take(LABEL_CHARS_MAX).collect();
    if !passkeys::add(w.tx(), name, &passkey, label.trim(), now).map_err(StoreError::from)? {
        return Ok(Some(Enrolling::WrongPasskey));
    }
    enrolments::took_passkey(w.tx(), link, now).map_err(StoreError::from)?;
    Ok(None)
}

fn registered(
    w: &mut Write<'_>,
    link: &Digest,
    made: &Registration,
    now: Timestamp,
) -> Result<Result<super::webauthn::Passkey, PasskeyError>, EnrolError> {
    let challenge = match made.challenge() {
        Ok(challenge) => challenge,
        Err(why) => return Ok(Err(why)),
    };
    let bound = Bound::Enrolment(link).digest();
    if !passkeys::take(w.tx(), &challenge, &bound, now).map_err(StoreError::from)? {
        return Ok(Err(PasskeyError::Challenge));
    }
    let Some(rp) = w.relying_party() else { return Ok(Err(PasskeyError::RelyingParty)) };
    Ok(rp.register(&challenge, made))
}

/// Asks the browser to make a passkey; none where there is no such link or no more room.
pub async fn begin(revoker: &Revoker, link: &Link, now: Timestamp) -> Result<Option<Options>, EnrolError> {
    let Some(standing) = standing(revoker, link, now).await?.filter(|standing| standing.may_passkey) else {
        return Ok(None);
    };
    let challenge = super::webauthn::challenge();
    let bound = Bound::Enrolment(&link.digest()).digest();
    let opened = revoker.open_challenge(challenge.clone(), bound, now + CEREMONY_LIFE, now).await?;
    let options = revoker.relying_party().filter(|_| opened);
    Ok(options.map(|rp| Options::enrol(rp, challenge, CEREMONY_LIFE, standing.name.as_str())))
}
