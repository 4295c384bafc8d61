//! Where two people must say yes, the first's is to the evidence that they were shown. Once that is outgrown, as by policy a single
//! person's yes is, it counts no more and they are asked again: nobody's name stands under more than they saw.

use detector::{MicroBits, Timestamp};
use serde_json::json;

use super::Write;
use crate::approval::Approval;
use crate::approval::notice::Turn;
use crate::standing::Standing;
use crate::store::{StoreError, approvals, first};

impl Write<'_> {
    /// The highest level of evidence since the question was put.
    pub(crate) fn peak(&self, approval: &Approval) -> MicroBits {
        approval.peak(&self.standing(&approval.agent()))
    }

    /// Whether there is so much more than `seen` by now that whoever saw that should look again.
    pub(crate) fn has_outgrown(&self, approval: &Approval, seen: MicroBits, now: Timestamp) -> bool {
        self.policy_for(&approval.agent(), now).outgrown(seen, self.peak(approval))
    }

    /// Takes the first yes back if the evidence, by now at `peak`, has outgrown what they saw, and asks them again. Whether it was.
    pub(crate) fn take_first_back(
        &mut self,
        approval: &Approval,
        peak: MicroBits,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (agent, Some(yes)) = (approval.agent(), &approval.first) else { return Ok(false) };
        let policy = self.policy_for(&agent, now);
        if !policy.outgrown(yes.seen, peak) {
            return Ok(false);
        }
        first::take_back(self.tx(), &approval.id)?;
        let body = json!({ "approval_id": approval.id, "by": yes.by, "at": yes.at, "seen": yes.seen, "level": peak });
        self.audit(Some(&agent), "approval.half_superseded", &body, now)?;
        self.tell_turn(approval, Turn::again(&yes.by), now)?;
        Ok(true)
    }

    /// The same as soon as a verdict raises the evidence, so that whoever answers next is told the truth. Costs nothing where no act takes two.
    pub(super) fn evidence_grew(
        &mut self,
        (from, to): (&Standing, &Standing),
        may_take_two: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (Standing::Challenged(from), Standing::Challenged(to)) = (from, to) else { return Ok(()) };
        if !may_take_two || from.case != to.case || to.peak <= from.peak {
            return Ok(());
        }
        match approvals::by_case(self.tx(), &to.case.to_string())? {
            Some(approval) => self.take_first_back(&approval, to.peak, now).map(drop),
            None => Ok(()),
        }
    }
}
