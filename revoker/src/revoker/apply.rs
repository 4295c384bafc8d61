//! An input to an agent's standing, and everything that follows from it, in one transaction.

use detector::{MicroBits, Timestamp, VerdictRecord};
use serde::Serialize;

use super::journal::{Entry, Now};
use super::memory::{Held, worth_keeping};
use super::parts::PARTS_MAX;
use super::write::Write;
use crate::agent::{AgentKey, Txn};
use crate::alert::Alert;
use crate::approval::{self, Action, Approval};
use crate::effect::{Cause, Closing, Effect, Event};
use crate::fleetwide::{Unconfirmed, WAITING_MAX};
use crate::lifecycle::{Input, Limits, Refusal, governed, permits};
use crate::message::Facts;
use crate::part::{Part, names_of};
use crate::policy::envelope::Room;
use crate::policy::{Gone, Policy};
use crate::restraint::Restraint;
use crate::standing::Standing;
use crate::store::settings::Spent;
use crate::store::{StoreError, agents, alerts, approvals, outbox, revocations};

/// What an input did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied {
    /// Where the agent stands now.
    pub standing: Standing,
    /// Whether that is new.
    pub changed: bool,
}

/// Why an input was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The question was answered, has expired, or is no longer the agent's.
    #[error("this question no longer stands; the agent is {standing}")]
    NotThisCase {
        /// Where the agent stands.
        standing: &'static str,
    },
    /// More evidence came in since it was shown.
    #[error("the evidence has grown to {peak} bits since it was shown")]
    EvidenceGrew {
        /// The level it has reached.
        peak: MicroBits,
    },
    /// The standing does not allow it.
    #[error("not possible for an agent that is {standing}")]
    NotAllowed {
        /// Where the agent stands.
        standing: &'static str,
    },
    /// There is none of this id.
    #[error("there is no such alert")]
    NoAlert,
    /// It contradicts itself or is out of bounds.
    #[error(transparent)]
    Manifest(detector::ManifestError),
    /// What the configuration declares no command changes.
    #[error(
        "the configuration holds the manifest of this agent (`manifests` or `manifests_dir`): change it there"
    )]
    ManifestGiven,
    /// Somebody else was faster, or it was not looked at.
    #[error("its manifest is of version {version} by now")]
    ManifestChanged {
        /// Which; 0 where there is none.
        version: i64,
    },
    /// An end in the past.
    #[error("the end must lie in the future")]
    Past,
    /// No manifest declares it.
    #[error("no manifest declares this group")]
    NoGroup,
    /// A second person is needed, and this is none.
    #[error(transparent)]
    Unconfirmed(#[from] Unconfirmed),
    /// So much is only done by two.
    #[error("this takes two persons: one proposes it at /v1/proposals, another confirms")]
    TakesTwo,
    /// Too many wait.
    #[error("{WAITING_MAX} proposals are the most that may wait")]
    TooManyProposals,
    /// More than one transaction should hold.
    #[error("the group has too many agents for one command")]
    TooManyMembers,
    /// Not everybody who must be told can end that alone.
    #[error("`{target}` cannot end a {kind} alone; end the agent")]
    NotAlone {
        /// Which target.
        target: String,
        /// What kind of part.
        kind: &'static str,
    },
    /// It ended before, or never did.
    #[error("its access has {}", if *ended { "ended already" } else { "not ended" })]
    NotThisPart {
        /// Which of the two.
        ended: bool,
    },
    /// A name that is none, or one part more than may be.
    #[error("a part has a name of 1 to 512 bytes, and of one agent at most {PARTS_MAX} end alone")]
    Part,
    /// No room for one more.
    #[error("{} pauses are the most there may be", super::pause::PAUSES_MAX)]
    TooManyPauses,
    /// Nobody, or for no reason.
    #[error("who and why must be said, in at most {REASON_CHARS_MAX} characters each")]
    NoReason,
    /// Names that are none, or too many of them.
    #[error(
        "owner, sponsor and approvers are names of 1 to {REASON_CHARS_MAX} characters, and of approvers at most {max}"
    )]
    Names {
        /// The most approvers.
        max: usize,
    },
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The longest name or reason a person may give.
pub(super) const REASON_CHARS_MAX: usize = 1_000;

/// What the audit says of a change.
#[derive(Serialize)]
struct Changed<'a> {
    from: &'static str,
    to: &'a Standing,
    input: &'a Input,
    effects: &'a [Effect],
    policy: &'a str,
}

/// One input on its way through a transaction.
pub(super) struct Case<'a> {
    pub(super) agent: &'a AgentKey,
    pub(super) input: &'a Input,
    /// What the input rests on, if it is a verdict.
    pub(super) record: Option<&'a VerdictRecord>,
    pub(super) policy: &'a Policy,
    /// The story it is part of; without it the agent's own.
    pub(super) txn: Option<&'a Txn>,
    pub(super) now: Timestamp,
}

/// What a step came to.
#[derive(Debug, Default)]
pub(super) struct Ran {
    /// Whether the change is more than a standing's memory.
    pub(super) changed: bool,
    /// What to tell the people who watch.
    pub(super) alert: Option<Alert>,
    /// What is left of the envelope, where the request goes on within it.
    pub(super) let_through: Option<Room>,
}

impl Case<'_> {
    /// The part that acts although its access has ended; none where the agent does.
    fn still_acting(&self, record: &VerdictRecord) -> Option<Part> {
        let Input::Verdict { evidence, .. } = self.input else { return None };
        let Some(Gone::Acts { kind, .. }) = evidence.gone else { return None };
        Part::new(kind, names_of(record)[kind as usize]?)
    }
}

impl Write<'_> {
    /// Gives an input to the agent's standing: the new standing, its effects and the audit entry join this transaction.
    ///
    /// Not for verdicts, which go through [`crate::Revoker::handle`].
    #[expect(clippy::needless_pass_by_value, reason = "an input is given once")]
    pub fn apply(&mut self, agent: &AgentKey, input: Input, now: Timestamp) -> Result<Applied, ApplyError> {
        let policy = self.policy_for(agent, now);
        // What time has changed by now is its own entry, told apart from what the person does.
        self.settle(agent, &policy, now)?;
        let before = self.standing(agent);
        permits(&before, &input, now, &policy).map_err(|refusal| refused(refusal, &before))?;
        self.run(&Case { agent, input: &input, record: None, policy: &policy, txn: None, now })?;
        let standing = self.standing(agent);
        Ok(Applied { standing, changed: standing != before })
    }

    /// Lets time pass for the agent.
    pub(super) fn settle(
        &mut self,
        agent: &AgentKey,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.standing(agent).due().is_some_and(|due| due <= now) {
            self.run(&Case { agent, input: &Input::TimePassed, record: None, policy, txn: None, now })?;
        }
        Ok(())
    }

    /// Steps, and carries out what follows.
    pub(super) fn run(&mut self, case: &Case<'_>) -> Result<Ran, StoreError> {
        let held = self.held(case.agent);
        let from = held.as_ref().map_or(Standing::Trusted, |held| held.live);
        let (to, effects) = self.step(case, &from);
        let may_take_two = !case.policy.config().approval.two_for.is_empty();
        self.evidence_grew((&from, &to), may_take_two, case.now)?;
        if effects.is_empty() && from.name() == to.name() {
            self.note((case.agent, case.now), held, to)?;
            return Ok(Ran::default());
        }
        let txn = match (case.txn, held, case.record) {
            (Some(txn), ..) => txn.clone(),
            (None, Some(held), _) => held.txn,
            (None, None, Some(record)) => Txn::of_verdict(record.verdict.id),
            (None, None, None) => Txn::random(),
        };
        let alert = self.carry_out(case, (&from, &to), &effects, &txn)?;
        let held =
            if to == Standing::Trusted { None } else { Some(Held { live: to, kept: to, txn: txn.clone() }) };
        self.changed.insert(case.agent.clone(), held);
        let called = case.record.map(|record| record.verdict.ts);
        self.inner.exposures.changed(case.agent, (&from, &to), called, case.now);
        let is_asked = |standing: &Standing| matches!(standing, Standing::Challenged(_));
        self.challenged += usize::from(is_asked(&to) && !is_asked(&from));
        metrics::counter!("tocsin_standing_changes_total", "to" => to.name()).increment(1);
        self.cascade_of(case, (&from, &to), &txn)?;
        let let_through = effects.iter().find_map(|effect| match effect {
            Effect::LetThrough { left } => Some(*left),
            _ => None,
        });
        Ok(Ran { changed: true, alert, let_through })
    }

    /// A step under the governor, whose counts join this transaction.
    fn step(&mut self, case: &Case<'_>, from: &Standing) -> (Standing, Vec<Effect>) {
        let mut spent = self.spent();
        let before = spent.governor.clone();
        let purposes = self.inner.purposes();
        let groups = &purposes.groups;
        let group = groups.named(case.agent).group;
        let group = group.and_then(|name| Some((name, groups.size(name)?)));
        let agents = self.inner.agents(&spent, case.now);
        let mut limits = Limits { governor: &mut spent.governor, group, agents };
        let stepped = governed(from, case.input, case.now, case.policy, &mut limits);
        if spent.governor != before {
            self.set_spent(Spent { agents, at: case.now, ..spent });
        }
        stepped
    }

    fn note(
        &mut self,
        (agent, now): (&AgentKey, Timestamp),
        held: Option<Held>,
        live: Standing,
    ) -> Result<(), StoreError> {
        let Some(held) = held.filter(|held| held.live != live) else { return Ok(()) };
        let keep = worth_keeping(&held.kept, &live);
        if keep {
            agents::note(&self.tx, agent, &live)?;
            self.keep_reach(agent, now)?;
        }
        let kept = if keep { live } else { held.kept };
        self.changed.insert(agent.clone(), Some(Held { live, kept, ..held }));
        Ok(())
    }

    fn carry_out(
        &mut self,
        case: &Case<'_>,
        (from, to): (&Standing, &Standing),
        effects: &[Effect],
        txn: &Txn,
    ) -> Result<Option<Alert>, StoreError> {
        let policy = case.policy.version();
        let body = Changed { from: from.name(), to, input: case.input, effects, policy };
        let seq = self.audit_in(txn, Some(case.agent), "standing.changed", &body, case.now)?;
        agents::put(&self.tx, case.agent, to, txn, (case.now, seq))?;
        self.keep_reach(case.agent, case.now)?;
        let mut approval_url = None;
        let entry = || Entry { seq, agent: case.agent.clone(), now: Now::Stands(Box::new(*to)) };
        for effect in effects {
            match effect {
                Effect::OpenCase { case: id, until } => {
                    let Some(record) = case.record else { continue };
                    let page = self.open_case(&id.to_string(), record, *until, case)?;
                    approval_url = Some(format!("{}{page}", self.inner.public_url));
                }
                Effect::CloseCase { case: id, how } => {
                    let ended = approvals::close(&self.tx, &id.to_string(), closing(*how), case.now)?;
                    self.settled.extend(ended);
                }
                Effect::LetThrough { .. } => metrics::counter!("tocsin_let_through_total").increment(1),
                Effect::EndPart { kind, not_before } => self.end_blamed(case, *kind, *not_before, txn)?,
                Effect::List { not_before } => {
                    revocations::revoke(&self.tx, (case.agent, None), *not_before, txn)?;
                    self.lifted.push((case.agent.clone(), None));
                    self.journal.push(entry());
                    self.settled.extend(approvals::supersede_asked(&self.tx, case.agent, case.now)?);
                }
                Effect::Unlist => {
                    let longest = self.inner.token_lifetime_max(case.agent);
                    revocations::unrevoke(&self.tx, (case.agent, None), case.now, longest)?;
                    let lifted = revocations::of(&self.tx, case.agent, None)?.and_then(|row| row.lifted());
                    self.lifted.push((case.agent.clone(), lifted));
                    self.journal.push(entry());
                }
                Effect::Publish(event) => {
                    self.publish(case, to.name(), event, approval_url.as_deref(), txn)?;
                    if let (Event::StillActing { .. }, Some(record)) = (event, case.record) {
                        let part = case.still_acting(record);
                        self.disprove((case.agent, part.as_ref(), txn), record.verdict.ts, case.now)?;
                    }
                }
                Effect::Alert { action, would } => {
                    metrics::counter!("tocsin_alerts_total", "action" => action.as_str()).increment(1);
                    if let Some(Restraint::Governor(governed)) = would.withheld {
                        metrics::counter!("tocsin_governed_total", "cap" => governed.cap.as_str())
                            .increment(1);
                    }
                }
            }
        }
        let evidence = match case.input {
            Input::Verdict { evidence, .. } => Some(evidence),
            _ => None,
        };
        let alert =
            case.record.and_then(|r| Alert::of(r, evidence, (to, effects), txn, case.policy, case.now));
        if let Some(alert) = &alert {
            alerts::put(&self.tx, alert)?;
            self.tell_accountable(alert, case.now)?;
        }
        Ok(alert)
    }

    fn open_case(
        &mut self,
        id: &str,
        record: &VerdictRecord,
        expires_at: Timestamp,
        case: &Case<'_>,
    ) -> Result<String, StoreError> {
        let alert_id = crate::alert::alert_id(record.verdict.id);
        let (record, arguments) = approval::arguments::bound(record);
        let ask = approvals::Ask {
            case: id,
            alert_id: &alert_id,
            needs: case.policy.needs(&Action::of_record(&record)),
            people: self.people(case.agent)?,
            cause: approval::Cause::Evidence(Box::new(record)),
            arguments,
            expires_at,
            policy: case.policy.version(),
        };
        let approval = approvals::open(&self.tx, ask, case.now)?;
        self.tell_people(&approval, 0, case.now)?;
        Ok(approval.page.path())
    }

    fn publish(
        &self,
        case: &Case<'_>,
        standing: &'static str,
        event: &Event,
        approval_url: Option<&str>,
        txn: &Txn,
    ) -> Result<(), StoreError> {
        let mut reasons = reasons(event, case);
        // What a person let go on is the act that was asked about.
        let asked = match event {
            Event::Approved { case } => approvals::by_case(&self.tx, &case.to_string())?,
            _ => None,
        };
        if event.ends_access() {
            reasons.extend(self.inner.spawned(&self.tx, case.agent)?);
        }
        let facts = Facts {
            event,
            agent: case.agent,
            people: &self.people(case.agent)?,
            part: None,
            txn,
            standing,
            record: case.record.or(asked.as_ref().and_then(Approval::evidence)),
            reasons: &reasons,
            approval_url,
            carried: None,
            policy: case.policy.version(),
            at: case.now,
        };
        outbox::publish(&self.tx, &self.routes(case.agent)?, &outbox::fresh_id(), &facts)
    }
}

fn closing(how: Closing) -> approvals::Closing {
    match how {
        Closing::Expired => approvals::Closing::Expired,
        Closing::Superseded => approvals::Closing::Superseded,
    }
}

/// Why, in words, as enforcement points are told. Names of persons stay in the audit.
fn reasons(event: &Event, case: &Case<'_>) -> Vec<String> {
    let evidence = || case.record.map(VerdictRecord::reasons).unwrap_or_default();
    match (event, case.input) {
        (Event::Revoked { cause: Cause::Attack, .. }, _) => vec!["a human says this is an attack".to_owned()],
        (Event::Revoked { cause: Cause::Expired, .. } | Event::Expired { .. }, _) => {
            vec!["nobody answered the challenge in time".to_owned()]
        }
        (Event::Approved { .. }, _) | (Event::Reinstated, Input::Approved { .. }) => {
            vec!["a human approved".to_owned()]
        }
        (Event::Denied { .. }, _) => vec!["a human denied".to_owned()],
        (Event::Revoked { .. }, Input::Ended { because, .. }) => vec![because.clone()],
        (Event::Reinstated, Input::TimePassed) => vec!["the suspension has ended".to_owned()],
        (
            _,
            Input::Revoke { reason, .. }
            | Input::Suspend { reason, .. }
            | Input::Retire { reason, .. }
            | Input::Reinstate { reason, .. },
        ) => vec![reason.clone()],
        (Event::Revoked { in_place_of: Some(kind), .. }, _) => {
            let widened = format!(
                "all of it is of one {}, which not every target can end alone, so all access ends",
                kind.as_str()
            );
            evidence().into_iter().chain([widened]).collect()
        }
        _ => evidence(),
    }
}

fn refused(refusal: Refusal, standing: &Standing) -> ApplyError {
    let standing = standing.name();
    match refusal {
        Refusal::NotThisCase | Refusal::NotPending => ApplyError::NotThisCase { standing },
        Refusal::EvidenceGrew { peak } => ApplyError::EvidenceGrew { peak },
        Refusal::NotFrom { .. } => ApplyError::NotAllowed { standing },
        Refusal::Past => ApplyError::Past,
    }
}
