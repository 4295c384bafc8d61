//! Whom people hear of a question from: who is told when, and in which words. A notice holds no secret but the page's address, which
//! shows and approves nothing.

use detector::{Timestamp, visible};
use serde_json::{Value, json};

use super::page::words::clock_text;
use super::{Approval, Cause};
use crate::alert::Alert;
use crate::effect::AlertAction;
use crate::message::clip;
use crate::policy::approval::ApprovalConfig;
use crate::store::register::Accountable;

/// Bytes of any text from outside, at most.
const TEXT_BYTES_MAX: usize = 300;

/// Why people hear of it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It was put.
    Asked,
    /// Those before have not answered.
    Next,
    /// They said yes, and there is more by now than they were shown.
    Again,
    /// It is about to lapse.
    Expiring,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Next => "next",
            Self::Again => "again",
            Self::Expiring => "expiring",
        }
    }
}

/// One turn of telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) stage: Stage,
    /// Their names; none where whoever is enrolled may answer.
    pub(crate) people: Vec<String>,
    /// Who answers for the agent and hears of it, too.
    pub(crate) also: Vec<String>,
    /// How many of those who are named have been told after this turn.
    pub(crate) told: usize,
    /// When the next turn is, if there is one.
    pub(crate) next: Option<Timestamp>,
}

impl Turn {
    /// The turn after so many were told: those who are named in their order, as many at once as it takes; in the end all of them.
    pub(crate) fn after(told: usize, approval: &Approval, config: &ApprovalConfig, now: Timestamp) -> Self {
        let named = wanted(approval);
        let ending = approval.expires_at - config.warn_before_s.duration();
        if told > 0 && now >= ending {
            let told = named.len().max(1);
            return Self {
                stage: Stage::Expiring,
                told,
                people: named,
                also: accountable(approval),
                next: None,
            };
        }
        let (stage, also) =
            if told == 0 { (Stage::Asked, accountable(approval)) } else { (Stage::Next, Vec::new()) };
        let at_once = usize::from(approval.needs.approvers);
        let people: Vec<String> = named.iter().skip(told).take(at_once).cloned().collect();
        let told = (told + people.len()).max(1);
        let next = if told < named.len() { ending.min(now + config.next_after_s.duration()) } else { ending };
        Self { stage, people, also, told, next: (now < next).then_some(next) }
    }

    /// That of the others once the one whom a question wants said yes, and it takes a second.
    pub(crate) fn second(approval: &Approval, first: &str) -> Option<Self> {
        if !matches!(&approval.cause, Cause::Asked(asked) if asked.approver.is_some()) {
            return None;
        }
        let others = approval.people.approvers.iter().filter(|name| *name != first).cloned();
        Some(Self { stage: Stage::Asked, people: others.collect(), also: Vec::new(), told: 0, next: None })
    }

    /// One person's who is asked again; the turns of others stay what they are.
    pub(crate) fn again(person: &str) -> Self {
        Self { stage: Stage::Again, people: vec![person.to_owned()], also: Vec::new(), told: 0, next: None }
    }
}

/// Who is to answer, by name. Whom a question wants is the first to say yes, and the only one where it takes no second.
fn wanted(approval: &Approval) -> Vec<String> {
    match &approval.cause {
        Cause::Asked(asked) if asked.approver.is_some() && approval.first.is_none() => {
            asked.approver.iter().cloned().collect()
        }
        _ => approval.people.approvers.clone(),
    }
}

fn accountable(approval: &Approval) -> Vec<String> {
    approval.people.accountable().cloned().collect()
}

/// What they are told of an alert.
pub(crate) fn alert(alert: &Alert, people: &Accountable, also: &[String]) -> Value {
    let shown = |text: &str| clip(&visible(text), TEXT_BYTES_MAX);
    let (agent, endpoint) = (shown(&alert.agent_id), shown(&alert.endpoint));
    let what = match alert.action {
        AlertAction::Watch => "is watched",
        AlertAction::Challenge => "waits for a human",
        AlertAction::Revoke => "has lost its access",
        AlertAction::StillActing => "still acts although its access has ended",
        AlertAction::Amend => "was not what an earlier alert said",
    };
    json!({
        "type": crate::effect::ALERT,
        "timestamp": alert.at,
        "data": {
            "issuer": alert.issuer,
            "subject": alert.agent_id,
            "alert_id": alert.alert_id,
            "action": alert.action,
            "title": format!("{agent} {what}"),
            "text": format!("{agent} {what}: it called {endpoint} at {}.", clock_text(alert.ts)),
            "why": shown(&alert.sentence),
            "people": Vec::<String>::new(),
            "also": also,
            "owner": people.owner,
            "sponsor": people.sponsor,
        },
    })
}

/// The message; `page` is the whole address of the page.
pub(crate) fn body(turn: &Turn, approval: &Approval, page: &str, now: Timestamp) -> Value {
    let action = approval.action();
    let shown = |text: &str| clip(&visible(text), TEXT_BYTES_MAX);
    let (agent, endpoint) = (shown(&action.agent_id), shown(&action.endpoint));
    let whom = match turn.people.as_slice() {
        [] => "a human".to_owned(),
        names => clip(&names.join(", "), TEXT_BYTES_MAX),
    };
    let until = clock_text(approval.expires_at);
    let text = match turn.stage {
        Stage::Asked => format!("{agent} waits for {whom}: may it call {endpoint}? By {until}: {page}"),
        Stage::Next => format!(
            "Nobody has answered for {agent} yet, so {whom} is asked: may it call {endpoint}? By {until}: {page}"
        ),
        Stage::Again => format!(
            "There is more against {agent} than {whom} said yes to, so that yes counts no more: may it call {endpoint}? By {until}: {page}"
        ),
        Stage::Expiring => format!(
            "The question about {agent} lapses at {until}, and nothing is approved then: may it call {endpoint}? {page}"
        ),
    };
    json!({
        "type": crate::effect::NOTICE,
        "timestamp": now,
        "data": {
            "stage": turn.stage.as_str(),
            "issuer": action.issuer,
            "subject": action.agent_id,
            "endpoint": endpoint,
            "approval_url": page,
            "expires_at": approval.expires_at,
            "people": turn.people,
            "also": turn.also,
            "title": format!("May {agent} call {endpoint}?"),
            "why": shown(&why(approval)),
            "owner": approval.people.owner,
            "sponsor": approval.people.sponsor,
            "text": text,
        },
    })
}

/// Why they are asked, in one sentence.
fn why(approval: &Approval) -> String {
    match &approval.cause {
        Cause::Evidence(record) => record.sentence(),
        Cause::Asked(asked) => match &asked.description {
            Some(words) => format!("its own side asks before it acts, and says: {words}"),
            None => "its own side asks before it acts".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::approval::page::tests::approval;
    use crate::approval::{Needs, State};

    #[test]
    fn those_who_are_named_are_told_in_turn_and_all_before_the_end() {
        let config = ApprovalConfig::default();
        let mut question = approval(State::Pending);
        let start = question.opened_at;
        question.people.approvers = vec!["Ann".into(), "Bob".into(), "Cleo".into()];
        let (mut at, mut told, mut turns) = (start, 0, Vec::new());
        loop {
            let turn = Turn::after(told, &question, &config, at);
            turns.push((at.since(start).as_secs() / 60, turn.stage.as_str(), turn.people.join(" ")));
            told = turn.told;
            match turn.next {
                Some(next) => at = next,
                None => break,
            }
        }
        let wanted =
            [(0, "asked", "Ann"), (5, "next", "Bob"), (10, "next", "Cleo"), (13, "expiring", "Ann Bob Cleo")];
        assert_eq!(turns, wanted.map(|(m, stage, who)| (m, stage, who.to_owned())));

        question.needs = Needs { approvers: 2, ..Needs::default() };
        assert_eq!(Turn::after(0, &question, &config, start).people, ["Ann", "Bob"]);
        question.people.approvers.clear();
        let anybody = Turn::after(0, &question, &config, start);
        assert_eq!((anybody.told, anybody.next), (1, Some(question.expires_at - Duration::from_mins(2))));
        let late = Turn::after(0, &question, &config, question.expires_at);
        assert_eq!((late.stage, late.next), (Stage::Asked, None), "told once at least");
    }

    #[test]
    fn a_notice_says_what_to_do_and_holds_no_number() {
        let question = approval(State::Pending);
        let turn = Turn::after(0, &question, &ApprovalConfig::default(), question.opened_at);
        let said = body(&turn, &question, "https://tocsin.example/approve/x", question.opened_at);
        let text = said["data"]["text"].as_str().unwrap();
        assert!(text.contains("send_money") && text.contains("https://tocsin.example/approve/x"), "{text}");
        let all = said.to_string();
        assert!(!all.contains("4711") && !all.contains("apr_"), "{all}");
    }
}
