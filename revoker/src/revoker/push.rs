//! Asking through an identity provider (CIBA Core 1.0): what is to be asked, how far that is, and what the provider said. Who talks
//! to the provider is handed requests and hands back answers; each step is in the record before the next.

use std::time::Duration;

use detector::{MicroBits, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{Revoker, Write};
use crate::approval::{
    Answer, Approval, ApproverRow, Choice, DecideError, Digest, Factor, Outcome, Proof, Status, decide,
    may_answer,
};
use crate::store::pushes::{self, Push};
use crate::store::{StoreError, approvals, approvers, notices};

/// Between two questions to a provider that does not say (CIBA Core 1.0, section 7.3).
const INTERVAL_S: u32 = 5;

/// What an hour is to the cap on what one person is sent.
const LATELY: Duration = Duration::from_hours(1);

/// Requests handed out at once.
const BATCH: u32 = 64;

/// Why the provider is not asked.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Nobody is enrolled under this name.
    #[error("nobody is enrolled under this address")]
    Nobody,
    /// The provider was asked before, and that is over.
    #[error("it was asked before, and that came to `{0}`; the page is open still")]
    Before(String),
    /// The person is asked as often as they may be.
    #[error("this person was asked too often in the last hour")]
    TooMany,
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a checked token of the provider says of who said yes.
#[derive(Clone, Debug, Serialize)]
pub struct PushedBy {
    /// The provider.
    pub iss: String,
    /// Who, there.
    pub sub: String,
    /// How, in its words.
    pub acr: Option<String>,
    /// By which methods, in its words.
    pub amr: Option<Vec<String>>,
    /// When, seconds since 1970.
    pub auth_time: Option<i64>,
}

impl Revoker {
    /// Has the provider ask whoever is enrolled under `name`. The same question is put once, also where it is asked for again.
    pub(crate) async fn push(
        &self,
        approval: &Approval,
        name: &str,
        now: Timestamp,
    ) -> Result<(), PushError> {
        let (approval, name) = (approval.clone(), name.to_owned());
        self.write(move |w| {
            let store = StoreError::from;
            let all = approvers::all(w.tx()).map_err(store)?;
            let who = all.into_iter().find(|who| who.disabled_at.is_none() && who.is(&name));
            let who = who.ok_or(PushError::Nobody)?;
            if let Some(push) = pushes::of(w.tx(), &approval.id, who.name.as_str()).map_err(store)? {
                let over = || PushError::Before(push.outcome.clone().unwrap_or_default());
                return if push.is_open() { Ok(()) } else { Err(over()) };
            }
            // No evidence is shown, so none is covered.
            if w.push(&approval, &who, MicroBits::ZERO, now)? { Ok(()) } else { Err(PushError::TooMany) }
        })
        .await
    }

    /// Requests whose turn it is, each with its question, and when the next is due.
    pub async fn pushes_due(
        &self,
        now: Timestamp,
    ) -> Result<(Vec<(Push, Approval)>, Option<Timestamp>), StoreError> {
        // Of processes that share the record one asks, so that nobody's phone rings twice.
        if !self.leads("/ciba").await? {
            return Ok((Vec::new(), Some(now + Duration::from_secs(1))));
        }
        let (due, over, next) = self
            .read(move |db| -> Result<_, StoreError> {
                let (mut due, mut over) = (Vec::new(), Vec::new());
                for push in pushes::due(db, now, BATCH)? {
                    match approvals::by_id(db, &push.approval)? {
                        Some(approval)
                            if approval.status(now) == Status::Pending && now < push.expires_at =>
                        {
                            due.push((push, approval));
                        }
                        _ => over.push(push),
                    }
                }
                Ok((due, over, pushes::next(db)?))
            })
            .await?;
        if !over.is_empty() {
            // Answered elsewhere, or not in time: a lapse is no denial.
            self.write(move |w| {
                over.iter().try_for_each(|push| pushes::end(w.tx(), push, "lapsed", now).map(drop))?;
                Ok::<_, StoreError>(())
            })
            .await?;
        }
        Ok((due, next))
    }

    /// The provider has taken the request under this name, and waits for the person until `until` at most; `ping` is the digest of the
    /// token that its ping will come with. It is asked again at `next`.
    pub async fn push_taken(
        &self,
        push: &Push,
        (auth_req_id, ping): (String, Option<Digest>),
        (interval_s, next): (u32, Timestamp),
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (push, until) = (push.clone(), until.min(push.expires_at));
        self.write(move |w| {
            pushes::taken(w.tx(), &push, &auth_req_id, ping.as_ref(), until)?;
            Ok(pushes::again(w.tx(), &push, interval_s, next)?)
        })
        .await
    }

    /// The provider has no answer yet, or did not answer.
    pub async fn push_again(&self, push: &Push, interval_s: u32, next: Timestamp) -> Result<(), StoreError> {
        let push = push.clone();
        self.write(move |w| Ok(pushes::again(w.tx(), &push, interval_s, next)?)).await
    }

    /// Nothing will come of it; `why` without secrets. The question stays open.
    pub async fn push_failed(&self, push: &Push, why: String, now: Timestamp) -> Result<(), StoreError> {
        let push = push.clone();
        self.write(move |w| {
            if pushes::end(w.tx(), &push, &why, now)? {
                let body = json!({ "approval_id": push.approval, "approver": push.approver, "why": why });
                w.audit(None, "approval.push_failed", &body, now)?;
            }
            Ok(())
        })
        .await
    }

    /// What the person said there: with a token that was checked yes, without one no. None if there is no such question any more.
    pub async fn push_answered(
        &self,
        (push, approval): (&Push, &Approval),
        by: Option<PushedBy>,
        now: Timestamp,
    ) -> Result<Option<Outcome>, DecideError> {
        let (id, page, keys) = (approval.id.clone(), approval.page.clone(), self.keys().clone());
        let (approver, seen) = (push.approver.clone(), push.seen);
        let grant_until = now + self.policy().config().grant_s.duration();
        self.write(move |w| {
            let choice = if by.is_some() { Choice::Approve } else { Choice::Deny };
            let proof = Proof::Push { approver, subject: by.as_ref().map(|by| by.sub.clone()) };
            // The app shows no evidence: a yes there covers what there was when the person was asked, and nothing since.
            let answer = Answer { choice, proof, seen };
            let outcome = decide(w, &keys, &page, &answer, grant_until, now)?;
            let said =
                if matches!(outcome, Some(Outcome::Settled | Outcome::Half)) { "taken" } else { "refused" };
            w.audit(None, "approval.pushed", &json!({ "approval_id": id, "answer": said, "by": by }), now)?;
            Ok(outcome)
        })
        .await
    }

    /// The provider says that there is an answer to the request that it calls so. False if that is not so, or `token` is not the one
    /// that goes with it.
    pub async fn pinged(&self, auth_req_id: String, token: &str, now: Timestamp) -> Result<bool, StoreError> {
        let token = Digest::of(token.as_bytes());
        self.write(move |w| Ok(pushes::pinged(w.tx(), &auth_req_id, &token, now)?)).await
    }
}

impl Write<'_> {
    /// Has the provider ask those of these people who can be asked so, where it may settle a question on evidence. Each once.
    pub(super) fn push_to(
        &mut self,
        approval: &Approval,
        people: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let suffices = approval.needs.factor == Factor::Push && approval.is_about_evidence();
        if !self.inner.pushes || !suffices {
            return Ok(());
        }
        let seen = self.peak(approval);
        for who in approvers::all(self.tx())? {
            let is_asked = who.can(Factor::Push) && people.iter().any(|name| who.is(name));
            if is_asked
                && may_answer(approval, &who, Choice::Approve).is_ok()
                && pushes::of(self.tx(), &approval.id, who.name.as_str())?.is_none()
            {
                self.push(approval, &who, seen, now)?;
            }
        }
        Ok(())
    }

    /// Keeps a request to the provider, due at once. False if the person is asked as often as they may be.
    fn push(
        &mut self,
        approval: &Approval,
        who: &ApproverRow,
        seen: MicroBits,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let agent = approval.agent();
        let most = self.policy_for(&agent, now).config().approval.notices_per_hour.get();
        // A push takes a person's attention as a notice does, and is what a flood of them is made of (ATT&CK T1621).
        if notices::count(self.tx(), &format!("push/{}", who.name), now - LATELY, now)? > most {
            return Ok(false);
        }
        let hint = who.address().map_or_else(|| who.name.to_string(), |address| address.to_string());
        let whom = (who.name.as_str(), hint.as_str(), seen);
        pushes::insert(self.tx(), (&approval.id, approval.expires_at), whom, INTERVAL_S, now)?;
        let body = json!({ "approval_id": approval.id, "approver": who.name });
        self.audit(Some(&agent), "approval.push", &body, now)?;
        Ok(true)
    }
}
