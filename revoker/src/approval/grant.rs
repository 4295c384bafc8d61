//! What an agent gets for a yes: good for one act, for minutes, for one resumption.
//!
//! The grant is a signed token that is never stored; and since the same row makes the same token, every waiter of an approval
//! gets the same one, also after a restart. Its signature checks offline; that it is admitted once only the record can tell.
//!
//! It is consumed when the resumed act is admitted, and then belongs to the `resume_id` that came with it: a retry with
//! the same id gets the same admission until the grant expires, any other is refused. So an answer lost on the way burns
//! nothing, and nothing can be replayed as something else.

mod token;

use std::str::FromStr;

use detector::Timestamp;
use subtle::ConstantTimeEq;

pub use self::token::{Claims, Grant, Grants};
use super::{Action, Approval, Cause, IdError, Status};
use crate::store::db::Transaction;
use crate::store::{StoreError, approvals, settings};

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
    /// Since the yes there has been more against the agent, and a newer question.
    #[error(
        "there was a newer question about this agent since; send the request without the grant and it is judged anew"
    )]
    Stale,
    /// The record was restored from a backup, which may not know that the grant was used.
    #[error(
        "the record was restored since the grant was given; send the request without it and it is judged anew"
    )]
    Restored,
    /// The agent may not act at all.
    #[error("the agent is {0}; no grant helps against that")]
    Standing(&'static str),
}

/// What comes back with a grant.
#[derive(Clone, Debug)]
pub(crate) struct Resumption<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) resume: &'a ResumeId,
    pub(crate) action: &'a Action,
    pub(crate) event_id: &'a str,
}

/// Admits an act under a grant; or says why not.
pub(crate) fn admit(
    tx: &Transaction<'_>,
    grants: &Grants,
    resumption: &Resumption<'_>,
    now: Timestamp,
) -> Result<Result<Admittance, GrantRefused>, StoreError> {
    let Some(claims) = grants.read(resumption.grant) else { return Ok(Err(GrantRefused::Unknown)) };
    let Some(approval) = approvals::by_id(tx, &claims.approval_id)? else {
        return Ok(Err(GrantRefused::Unknown));
    };
    let (until, used) = match check(&approval, &claims, settings::epoch(tx)?, resumption.action, now) {
        Ok(valid) => valid,
        Err(refused) => return Ok(Err(refused)),
    };
    let (first, repeated) = match used {
        Some((by, _)) if by != *resumption.resume => return Ok(Err(GrantRefused::Used)),
        Some((_, first)) => (first, true),
        None if approvals::is_stale(tx, &approval)? => return Ok(Err(GrantRefused::Stale)),
        None => (now, false),
    };
    if !approvals::add_admission(tx, &approval.id, resumption.event_id, now)? {
        return Ok(Err(GrantRefused::Retries));
    }
    if !repeated {
        approvals::set_resumed(tx, &approval.id, resumption.resume, now)?;
    }
    Ok(Ok(Admittance { approval, first, until, repeated }))
}

type Used = Option<(ResumeId, Timestamp)>;

fn check(
    approval: &Approval,
    claims: &Claims,
    epoch: i64,
    action: &Action,
    now: Timestamp,
) -> Result<(Timestamp, Used), GrantRefused> {
    // Computed anew from the row: one whose act, cause or end was changed after the yes is no longer what was signed for.
    let binding = approval.binding().to_string();
    let genuine = bool::from(binding.as_bytes().ct_eq(claims.binding.as_bytes()));
    let Some(state) = approval.grant.clone().filter(|_| genuine && approval.status(now) == Status::Approved)
    else {
        return Err(GrantRefused::Unknown);
    };
    if claims.epoch != epoch || state.epoch != epoch {
        return Err(GrantRefused::Restored);
    }
    if now >= state.expires_at {
        return Err(GrantRefused::Expired);
    }
    if action.digest() != approval.action().digest() {
        return Err(GrantRefused::OtherAct);
    }
    Ok((state.expires_at, state.used))
}

impl Approval {
    /// Whether evidence stands behind it, which newer evidence may go beyond.
    pub(crate) fn is_about_evidence(&self) -> bool {
        matches!(self.cause, Cause::Evidence(_))
    }
}

#[cfg(test)]
mod tests;
