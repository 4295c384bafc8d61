//! Telling people of questions, through the outbox as everything else that leaves.

use std::time::Duration;

use detector::Timestamp;
use serde_json::json;

use super::apply::Case;
use super::{Revoker, Write};
use crate::agent::{AgentKey, Txn};
use crate::alert::Alert;
use crate::approval::Approval;
use crate::approval::notice::{self, Turn, body};
use crate::effect::{ALERT, AlertAction, NOTICE};
use crate::lifecycle::Input;
use crate::store::{StoreError, approvals, notices, outbox, to_json};

/// What "lately" is to the cap on notices.
const LATELY: Duration = Duration::from_hours(1);

/// Whom a notice to whoever may answer is counted for.
const ANYBODY: &str = "";

/// Questions settled in one transaction.
const BATCH: u32 = 100;

impl Write<'_> {
    /// Tells those whose turn it is. Nobody is told more often than policy allows: past that a question is only listed, and that
    /// somebody puts so many is told once, since it is how a second factor is worn down (ATT&CK T1621). Says whether that was so.
    pub(super) fn tell_people(
        &mut self,
        approval: &Approval,
        told: usize,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let policy = self.policy_for(&approval.agent(), now);
        let turn = Turn::after(told, approval, &policy.config().approval, now);
        notices::told(self.tx(), &approval.id, turn.told, turn.next)?;
        self.tell_turn(approval, turn, now)
    }

    /// Tells the people of one turn; whether one of them was told of as many as may be before.
    pub(crate) fn tell_turn(
        &mut self,
        approval: &Approval,
        mut turn: Turn,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let agent = approval.agent();
        let most = self.policy_for(&agent, now).config().approval.notices_per_hour.get();
        let people = if turn.people.is_empty() { vec![ANYBODY.to_owned()] } else { turn.people.clone() };
        let mut heard = Vec::new();
        let asked = people.len();
        for person in people {
            let sent = notices::count(self.tx(), &person, now - LATELY, now)?;
            if sent == most + 1 {
                let body = json!({ "person": person, "notices": most, "technique": "T1621" });
                self.audit(Some(&agent), "approval.flood", &body, now)?;
            }
            if sent <= most {
                heard.push(person);
            }
        }
        let is_flood = heard.len() < asked;
        if heard.is_empty() {
            return Ok(is_flood);
        }
        heard.retain(|person| person != ANYBODY);
        turn.people = heard;
        turn.also.retain(|person| !turn.people.contains(person));
        turn.also = self.of_those(turn.also, most, now)?;
        self.push_to(approval, &turn.people, now)?;
        let page = format!("{}{}", self.inner.public_url, approval.page.path());
        let body = to_json(&body(&turn, approval, &page, now))?;
        let txn = self.held(&agent).map_or_else(Txn::random, |held| held.txn);
        self.notify(NOTICE, &agent, (&txn, &body), now)?;
        Ok(is_flood)
    }

    /// Tells those who answer for the agent of an alert about it. Of a question they are told with those who are asked.
    pub(super) fn tell_accountable(&mut self, alert: &Alert, now: Timestamp) -> Result<(), StoreError> {
        let is_told = self.inner.routes.iter().any(|route| route.events.iter().any(|kind| kind == ALERT));
        if alert.action == AlertAction::Challenge || !is_told {
            return Ok(());
        }
        let agent = alert.agent();
        let people = self.people(&agent)?;
        let most = self.policy_for(&agent, now).config().approval.notices_per_hour.get();
        let also = self.of_those(people.accountable().cloned().collect(), most, now)?;
        if also.is_empty() {
            return Ok(());
        }
        let body = to_json(&notice::alert(alert, &people, &also))?;
        self.notify(ALERT, &agent, (&alert.txn, &body), now)
    }

    /// Those of owner and sponsor who have not had too many letters lately. Counted apart from what they are asked themselves, so
    /// that alerts keep no question from them.
    fn of_those(&self, people: Vec<String>, most: u32, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let mut heard = Vec::new();
        for person in people {
            let counted = format!("answers for: {person}");
            // What is not sent is not counted: an agent that still acts makes an alert a call.
            if notices::sent(self.tx(), &counted, now - LATELY)? < most {
                notices::count(self.tx(), &counted, now - LATELY, now)?;
                heard.push(person);
            }
        }
        Ok(heard)
    }

    /// Tells every target whose filter names `kind`.
    fn notify(
        &self,
        kind: &str,
        agent: &AgentKey,
        (txn, body): (&Txn, &str),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let wanting = |route: &&crate::connector::Route| route.events.iter().any(|named| named == kind);
        for route in self.inner.routes.iter().filter(wanting) {
            outbox::notify(self.tx(), &route.name, kind, agent, (txn, body.as_bytes()), now)?;
        }
        Ok(())
    }

    /// Of people who are told no more because of all that they are asked, one agent may have as many as half: more of them are its flood.
    pub(super) fn flood_of(&mut self, agent: &AgentKey, now: Timestamp) -> Result<(), StoreError> {
        let policy = self.policy_for(agent, now);
        let most = policy.config().approval.notices_per_hour.get();
        if approvals::count_since(self.tx(), agent, now - LATELY)? > most / 2 {
            self.flooded(agent, now)?;
        }
        Ok(())
    }

    /// An agent has as many questions open as it may, and tried another. Told once an hour.
    fn too_many_of(&mut self, agent: &AgentKey, now: Timestamp) -> Result<(), StoreError> {
        // No person's name has two lines.
        let key = format!("\n{agent}");
        if notices::sent(self.tx(), &key, now - LATELY)? == 0 {
            notices::count(self.tx(), &key, now - LATELY, now)?;
            let open = self.policy_for(agent, now).config().approval.open_per_agent;
            let body = json!({ "open": open, "technique": "T1621" });
            self.audit(Some(agent), "approval.flood", &body, now)?;
        }
        self.flooded(agent, now)
    }

    fn flooded(&mut self, agent: &AgentKey, now: Timestamp) -> Result<(), StoreError> {
        let policy = self.policy_for(agent, now);
        let input = &Input::Flooded;
        self.run(&Case { agent, input, record: None, policy: &policy, txn: None, now }).map(drop)
    }
}

impl Revoker {
    /// An agent that asks more than it may stays known, although nobody was asked.
    pub(super) async fn note_flood(&self, agent: AgentKey, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |w| w.too_many_of(&agent, now)).await
    }

    /// Tells those whose turn has come; whether there is more.
    pub(super) async fn tell_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        let due = self.read(move |db| notices::due(db, now, BATCH).map_err(StoreError::from)).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let more = due.len() >= BATCH as usize;
        self.write(move |w| {
            due.iter().try_for_each(|(approval, told)| w.tell_people(approval, *told, now).map(drop))
        })
        .await?;
        Ok(more)
    }
}
