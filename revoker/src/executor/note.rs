//! What is written down of a turn, in one transaction with what follows from it.

use detector::Timestamp;
use serde_json::json;

use crate::effect::ENDINGS;
use crate::revoker::Write;
use crate::store::StoreError;
use crate::store::outbox::{DeliveryState, Due};
use crate::store::receipts::{self, DisabledTarget, Next, Receipt, Seen};

pub(super) const ACKNOWLEDGED: &str = "acknowledged";
pub(super) const FAILED: &str = "failed";
pub(super) const GONE: &str = "gone";
pub(super) const HOPELESS: &str = "hopeless";

/// An attempt to end access that fails so often has the next target of the escalation list told: after about 3 s.
const ESCALATE_AT: u32 = 3;

/// What becomes of the delivery.
#[derive(Clone, Copy)]
pub(super) enum Then {
    Sent(Next),
    Seen(Seen),
}

/// One turn, ready to be written down.
#[derive(Clone)]
pub(super) struct Note {
    pub(super) due: Due,
    pub(super) receipt: Receipt,
    pub(super) then: Then,
    /// Whether the subject's next message is under way already.
    pub(super) goes_on: bool,
}

impl Note {
    pub(super) fn write(&self, w: &mut Write<'_>, target: &str, now: Timestamp) -> Result<(), StoreError> {
        match self.then {
            Then::Sent(next) => self.sent(w, next, target, now),
            Then::Seen(seen) => self.seen(w, seen, target, now),
        }
    }

    fn sent(&self, w: &mut Write<'_>, next: Next, target: &str, now: Timestamp) -> Result<(), StoreError> {
        let Self { due, receipt, .. } = self;
        // Another process may have taken the target over and been told the same, or this have been written down before.
        if !receipts::is_news(w.tx(), due.delivery, receipt)? {
            return Ok(());
        }
        receipts::record(w.tx(), due.delivery, receipt, next, now)?;
        let outcome = receipt.outcome.as_str();
        // Once for each target, or who is given up days later would have a third told behind a second that did it.
        let over = next == Next::Dead || outcome == GONE;
        if receipt.attempt <= ESCALATE_AT && (over || (receipt.attempt == ESCALATE_AT && outcome == FAILED)) {
            self.escalate(w, target, now)?;
        }
        if outcome == GONE {
            let reason = format!("answered {}", receipt.status.unwrap_or_default());
            receipts::disable(w.tx(), &DisabledTarget { target: target.to_owned(), at: now, reason })?;
        }
        match (next, outcome) {
            (_, GONE) => self.audit(w, "target.disabled", target, now),
            (Next::Done(_), _) => self.audit(w, "delivery.acknowledged", target, now),
            (Next::Dead, _) => self.audit(w, "delivery.dead", target, now),
            (Next::Again(_), _) => Ok(()),
        }
    }

    fn seen(&self, w: &mut Write<'_>, seen: Seen, target: &str, now: Timestamp) -> Result<(), StoreError> {
        if !receipts::seen(w.tx(), self.due.delivery, &self.receipt, seen)? {
            return Ok(());
        }
        let Seen::Settled(state) = seen else { return Ok(()) };
        if state == DeliveryState::Refuted {
            self.escalate(w, target, now)?;
        }
        self.audit(w, &format!("delivery.{}", self.receipt.outcome), target, now)
    }

    /// The next target of the list takes its turn, if this one is of the list and the event ends access.
    fn escalate(&self, w: &mut Write<'_>, target: &str, now: Timestamp) -> Result<(), StoreError> {
        let due = &self.due;
        if ENDINGS.contains(&due.message.kind.as_str()) && w.is_ranked(target) {
            w.escalate(due.event_seq, (&due.agent, &due.txn), &[target.to_owned()], now)?;
        }
        Ok(())
    }

    fn audit(&self, w: &mut Write<'_>, kind: &str, target: &str, now: Timestamp) -> Result<(), StoreError> {
        let Self { due, receipt, .. } = self;
        let body =
            json!({ "id": due.message.id, "type": due.message.kind, "target": target, "receipt": receipt });
        w.audit_in(&due.txn, Some(&due.agent), kind, &body, now).map(drop)
    }
}
