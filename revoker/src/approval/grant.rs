//! What an agent gets for a yes: good for one act, for minutes, for one resumption.
//!
//! The grant is a code over the approval and its binding that only this installation can make. It is never stored, only
//! its digest; and since it can be made again, every waiter of an approval gets the same one, also after a restart.
//!
//! It is consumed when the resumed act is admitted, and then belongs to the `resume_id` that came with it: a retry with
//! the same id gets the same admission until the grant expires, any other is refused. So an answer lost on the way burns
//! nothing, and nothing can be replayed as something else.

use std::fmt;
use std::str::FromStr;

use detector::Timestamp;
use subtle::ConstantTimeEq;

use super::{Action, Approval, Digest, IdError, Status};
use crate::keys::Keys;
use crate::store::approvals;
use crate::store::db::{self, Transaction};

const GRANT_PREFIX: &str = "tgr_";

/// The grant as the agent holds it: `tgr_` and 64 hexadecimal digits. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant(String);

impl Grant {
    /// The one grant of this approval.
    pub(crate) fn of(keys: &Keys, approval: &Approval) -> Self {
        let mac =
            keys.mac("approval grant", &[approval.id.as_str().as_bytes(), approval.binding().as_bytes()]);
        Self(format!("{GRANT_PREFIX}{}", Digest::from(mac)))
    }

    /// For the agent's eyes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl FromStr for Grant {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_prefix(GRANT_PREFIX) {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(IdError::new("a grant (`tgr_` and 64 hexadecimal digits)")),
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant(…)")
    }
}

/// The agent's name for one resumption: 1 to 128 visible ASCII characters, unique among its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeId(String);

impl ResumeId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResumeId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::new("a resume id (1 to 128 visible ASCII characters)"))
        }
    }
}

/// A resumed act that may go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Admittance {
    /// Under which approval.
    pub approval: Approval,
    /// When this resumption was first admitted. Earlier than now: a retry of one that may have gone through.
    pub first: Timestamp,
    /// The grant's end.
    pub until: Timestamp,
    /// Whether it was admitted before; whoever carries the act out must then know whether it already did.
    pub repeated: bool,
}

/// Why a grant does not admit this act. Nothing is consumed by a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefused {
    /// No approval has this grant.
    #[error("no approval has this grant")]
    Unknown,
    /// Too late.
    #[error("the grant has expired; send the request without it and it is judged anew")]
    Expired,
    /// The approval is for something else.
    #[error(
        "the grant is for another act: agent, instance, endpoint, method, resource and arguments digest must be those \
         that were approved"
    )]
    OtherAct,
    /// It was consumed under another `resume_id`.
    #[error("the grant was used by another resumption; it admits one act, once")]
    Used,
    /// The same resumption came back with too many different events.
    #[error("the resumption was retried with more than {} different events", approvals::ADMISSIONS_MAX)]
    Retries,
}

/// Admits `action`, announced by `event_id`, under a grant; or says why not.
pub fn admit(
    tx: &Transaction<'_>,
    keys: &Keys,
    (grant, resume): (&Grant, &ResumeId),
    (action, event_id): (&Action, &str),
    now: Timestamp,
) -> db::Result<Result<Admittance, GrantRefused>> {
    let Some(approval) = approvals::by_grant(tx, &grant.digest())? else {
        return Ok(Err(GrantRefused::Unknown));
    };
    let (until, used) = match check(&approval, keys, grant, action, now) {
        Ok(valid) => valid,
        Err(refused) => return Ok(Err(refused)),
    };
    let (first, repeated) = match used {
        Some((by, _)) if by != *resume => return Ok(Err(GrantRefused::Used)),
        Some((_, first)) => (first, true),
        None => (now, false),
    };
    if !approvals::add_admission(tx, &approval.id, event_id, now)? {
        return Ok(Err(GrantRefused::Retries));
    }
    if !repeated {
        approvals::set_resumed(tx, &approval.id, resume, now)?;
    }
    Ok(Ok(Admittance { approval, first, until, repeated }))
}

type Used = Option<(ResumeId, Timestamp)>;

fn check(
    approval: &Approval,
    keys: &Keys,
    grant: &Grant,
    action: &Action,
    now: Timestamp,
) -> Result<(Timestamp, Used), GrantRefused> {
    // Made anew from the row: a row whose act, evidence or end was changed after the yes makes another grant.
    let genuine = bool::from(Grant::of(keys, approval).0.as_bytes().ct_eq(grant.0.as_bytes()));
    let Some(state) = approval.grant.clone().filter(|_| genuine && approval.status(now) == Status::Approved)
    else {
        return Err(GrantRefused::Unknown);
    };
    if now >= state.expires_at {
        return Err(GrantRefused::Expired);
    }
    if action.digest() != approval.action().digest() {
        return Err(GrantRefused::OtherAct);
    }
    Ok((state.expires_at, state.used))
}

#[cfg(test)]
mod tests;
