//! Who it is that answers: by a one-time code, a recovery code or a passkey. Whatever a proof turns out to be, it is spent from then
//! on, and wrong ones are counted.

use detector::Timestamp;

use super::decide::{Answer, Choice, DecideError, Refusal};
use super::lockout::{self, Attempts};
use super::totp::{self, Checked};
use super::webauthn::{Assertion, Bound, PasskeyError, RelyingParty};
use super::{Approval, ApproverName, ApproverRow, Cause, Factor, recovery};
use crate::keys::Keys;
use crate::revoker::Write;
use crate::store::approvers::Stored;
use crate::store::pushes::Push;
use crate::store::{approvals, approvers, enrolments, passkeys, pushes};

/// What came with an answer to say who gives it.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A name and a code: one-time, or one for recovery.
    Code {
        /// Who they say they are.
        name: String,
        /// What they typed.
        code: String,
        /// The number they typed; only looked at for a yes.
        number: String,
    },
    /// What a passkey says.
    Passkey(Assertion),
    /// What the identity provider that was asked for this approval says.
    Push {
        /// Whom it asked, as enrolled.
        approver: String,
        /// With a yes who it is (`sub`), by a token that was checked.
        subject: Option<String>,
    },
}

/// Somebody, and how they proved it.
pub(super) struct Proven {
    pub(super) who: ApproverRow,
    pub(super) with: Factor,
}

type Checking = Result<Result<Proven, Refusal>, DecideError>;

/// Who it is. Commit whatever comes back.
pub(super) fn prove(
    w: &mut Write<'_>,
    keys: &Keys,
    approval: &Approval,
    answer: &Answer,
    now: Timestamp,
) -> Checking {
    let approves = answer.choice == Choice::Approve;
    match &answer.proof {
        Proof::Code { .. } if approves && approval.needs.factor > Factor::Recovery => {
            Ok(Err(Refusal::StrongerFactor))
        }
        Proof::Push { .. } if approves && approval.needs.factor > Factor::Push => {
            Ok(Err(Refusal::StrongerFactor))
        }
        Proof::Push { approver, subject } => {
            by_push(w, approval, (approver, subject.as_deref()), approves, now)
        }
        // Before the code, so that a slip with the number does not cost a code and half a minute of waiting.
        Proof::Code { number, .. } if approves && !approval.binding_code.matches(number) => {
            let attempts = approval.attempts.failed(lockout::APPROVAL, now);
            approvals::set_attempts(w.tx(), &approval.id, attempts)?;
            Ok(Err(wrong(attempts, now, |left| Refusal::WrongNumber { left })))
        }
        Proof::Code { name, code, .. } => by_code(w, keys, approval, (name, code), now),
        Proof::Passkey(used) => by_passkey(w, approval, answer, used, now),
    }
}

/// Whoever it is, and whether there is anybody of that name or they are locked: the same look-ups, a code made and compared, the same
/// counts written, the same words. Neither an answer nor the work it takes tells which names exist.
fn by_code(
    w: &mut Write<'_>,
    keys: &Keys,
    approval: &Approval,
    (name, code): (&str, &str),
    now: Timestamp,
) -> Checking {
    let typed = ApproverName::new(name).unwrap_or_else(|_| ApproverName::nobody());
    let stored = approvers::by_name(w.tx(), typed.as_str())?;
    let stored = stored.filter(|approver| approver.row.disabled_at.is_none());
    let attempts = stored.as_ref().map(|approver| approver.attempts).unwrap_or_default();
    let is_locked = attempts.shut_until(now).is_some();
    let open = stored.filter(|_| !is_locked);
    let (code, with) = checked(w, keys, open.as_ref(), code, now)?;
    match (code, open) {
        (Checked::Accepted { .. }, Some(who)) => Ok(Ok(Proven { who: who.row, with })),
        (Checked::Spent, Some(who)) => Ok(Err(Refusal::Spent { next: totp::next_code(now, who.last_step) })),
        _ => {
            // A lock does not grow by what is typed while it lasts.
            let counted = if is_locked { attempts } else { attempts.failed(lockout::APPROVER, now) };
            approvers::set_attempts(w.tx(), typed.as_str(), counted)?;
            let why = if is_locked { Refusal::ApproverLocked } else { Refusal::WrongCode };
            Ok(Err(miscounted(w, approval, now, why)?))
        }
    }
}

/// What the code is; a right one is spent. Where it can be nobody's, the same is done for nothing.
fn checked(
    w: &mut Write<'_>,
    keys: &Keys,
    who: Option<&Stored>,
    code: &str,
    now: Timestamp,
) -> Result<(Checked, Factor), DecideError> {
    let name = who.map_or_else(ApproverName::nobody, |who| who.row.name.clone());
    if let Some(code) = recovery::digest(keys, &name, code) {
        let is_theirs = enrolments::spend_recovery(w.tx(), &name, &code, now)?;
        let checked = if is_theirs { Checked::Accepted { step: 0 } } else { Checked::Wrong };
        return Ok((checked, Factor::Recovery));
    }
    let Some(who) = who.filter(|who| who.row.has_totp) else {
        let nobodys = keys.mac("a code of nobody", &[name.as_str().as_bytes()]);
        totp::check(&nobodys, code, now, None).map_err(DecideError::Secret)?;
        return Ok((Checked::Wrong, Factor::Totp));
    };
    let secret = keys.open_sealed(&name.purpose(), &who.sealed)?;
    let checked = totp::check(secret.expose(), code, now, who.last_step).map_err(DecideError::Secret)?;
    if let Checked::Accepted { step } = checked {
        approvers::accept(w.tx(), name.as_str(), step)?;
    }
    Ok((checked, Factor::Totp))
}

fn by_passkey(
    w: &mut Write<'_>,
    approval: &Approval,
    answer: &Answer,
    used: &Assertion,
    now: Timestamp,
) -> Checking {
    let bound = Bound::Answer(approval, answer.choice, answer.seen);
    match verified(w, &bound, used, now)? {
        Ok(who) => Ok(Ok(Proven { who, with: Factor::Passkey })),
        Err(why) => {
            tracing::warn!(approval_id = approval.id.as_str(), %why, "a passkey was refused");
            // An old page's challenge is nobody's attempt at anything.
            let refusal = match why {
                PasskeyError::Challenge => Refusal::Stale,
                _ => miscounted(w, approval, now, Refusal::WrongPasskey)?,
            };
            Ok(Err(refusal))
        }
    }
}

/// The provider was asked about one person and this approval; the request is spent with its answer.
fn by_push(
    w: &mut Write<'_>,
    approval: &Approval,
    (asked, subject): (&str, Option<&str>),
    approves: bool,
    now: Timestamp,
) -> Checking {
    let Some(push) = pushes::of(w.tx(), &approval.id, asked)?.filter(Push::is_open) else {
        return Ok(Err(Refusal::Over));
    };
    pushes::end(w.tx(), &push, "answered", now)?;
    let who = approvers::by_name(w.tx(), &push.approver)?.map(|stored| stored.row);
    let Some(who) = who.filter(|who| who.disabled_at.is_none()) else { return Ok(Err(Refusal::NotNamed)) };
    // A subject is the same in its exact letters alone (OpenID Connect Core 1.0, section 2).
    let is_theirs = subject.is_some_and(|subject| who.also.iter().any(|name| name == subject));
    if approves && !is_theirs {
        tracing::warn!(approver = %who.name, "the identity provider's yes is of a subject that is none of theirs");
        return Ok(Err(Refusal::NotNamed));
    }
    Ok(Ok(Proven { who, with: Factor::Push }))
}

fn verified(
    w: &mut Write<'_>,
    bound: &Bound<'_>,
    used: &Assertion,
    now: Timestamp,
) -> Result<Result<ApproverRow, PasskeyError>, DecideError> {
    let challenge = match used.challenge() {
        Ok(challenge) => challenge,
        Err(why) => return Ok(Err(why)),
    };
    // Taken first: nothing is answered twice, whatever comes of it.
    if !passkeys::take(w.tx(), &challenge, &bound.digest(), now)? {
        return Ok(Err(PasskeyError::Challenge));
    }
    let Some(rp) = w.relying_party() else { return Ok(Err(PasskeyError::RelyingParty)) };
    let Some((passkey, approver)) = passkeys::by_id(w.tx(), &used.id)? else {
        return Ok(Err(PasskeyError::Unknown));
    };
    let approver = approvers::by_name(w.tx(), &approver)?.filter(|a| a.row.disabled_at.is_none());
    let Some(approver) = approver else { return Ok(Err(PasskeyError::Unknown)) };
    match RelyingParty::verify(rp, &challenge, used, &passkey) {
        Ok(counter) => {
            passkeys::used(w.tx(), &passkey.id, counter, now)?;
            Ok(Ok(approver.row))
        }
        Err(why) => Ok(Err(why)),
    }
}

fn wrong(attempts: Attempts, now: Timestamp, refusal: impl FnOnce(u32) -> Refusal) -> Refusal {
    match attempts.shut_until(now) {
        Some(until) => Refusal::Locked { until },
        None => refusal(attempts.left(lockout::APPROVAL)),
    }
}

/// A wrong name, code or passkey also counts against the approval, so that nobody can go through the names.
fn miscounted(
    w: &mut Write<'_>,
    approval: &Approval,
    now: Timestamp,
    refusal: Refusal,
) -> Result<Refusal, DecideError> {
    let attempts = approval.attempts.failed(lockout::APPROVAL, now);
    approvals::set_attempts(w.tx(), &approval.id, attempts)?;
    Ok(wrong(attempts, now, |_| refusal))
}

/// Whether this person may give this answer, whoever they proved to be.
pub(crate) fn may_answer(approval: &Approval, who: &ApproverRow, choice: Choice) -> Result<(), Refusal> {
    let named = &approval.people.approvers;
    let wanted = match &approval.cause {
        Cause::Asked(asked) => asked.approver.as_deref(),
        Cause::Evidence(_) => None,
    };
    let is_named = named.is_empty() || named.iter().any(|name| who.is(name));
    // Where it takes two and one is wanted, that one is the first, and the other any of those who may answer.
    let is_wanted = wanted.is_none_or(|name| who.is(name)) || approval.first.is_some();
    if !is_named || !is_wanted {
        return Err(Refusal::NotNamed);
    }
    if choice != Choice::Approve {
        return Ok(());
    }
    if approval.requester().is_some_and(|requester| who.is(requester)) {
        return Err(Refusal::OwnRequest);
    }
    match &approval.first {
        Some(first) if who.is(&first.by) => Err(Refusal::SameApprover),
        _ => Ok(()),
    }
}
