//! Alerts: what people who watch are told, with the reasons and the numbers.

use detector::{Actor, BrokenRule, Layers, MicroBits, Timestamp, VerdictId, VerdictRecord};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::agent::{AgentKey, CaseId, Txn};
use crate::config::WhileAsked;
use crate::effect::{AlertAction, Effect, Severity};
use crate::hex::hex;
use crate::policy::{Demand, Evidence, Policy, within};
use crate::restraint::Restraint;
use crate::standing::Standing;

/// One alert. Made once for its verdict; the same verdict makes the same alert id again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Derived from the verdict's id; 32 hexadecimal digits.
    pub alert_id: String,
    /// The verdict it rests on.
    pub verdict_id: VerdictId,
    /// When the call was made, event time.
    pub ts: Timestamp,
    /// When the alert was made.
    pub at: Timestamp,
    /// Under which issuer the agent is named.
    pub issuer: Option<String>,
    /// Which agent.
    pub agent_id: String,
    /// The call that did it.
    pub event_id: String,
    /// What it called.
    pub endpoint: String,
    /// Who heads the line that the evidence is of, where it is of one.
    #[serde(default)]
    pub line: Option<String>,
    /// The agent's level of evidence after the call.
    pub score: MicroBits,
    /// The rule that the call broke.
    #[serde(default)]
    pub rule: Option<BrokenRule>,
    /// Whether the agent itself acted, and what speaks against it.
    #[serde(default)]
    pub actor: Actor,
    /// What each layer of trust says, human oversight as of before this alert.
    #[serde(default)]
    pub layers: Layers,
    /// What was done.
    pub action: AlertAction,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// What the agent does while a human is asked, where one is asked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_asked: Option<WhileAsked>,
    /// The agent's standing after it.
    pub standing: String,
    /// Whether more would have been done.
    pub shadow: bool,
    /// What that is.
    pub would_have: Option<Demand>,
    /// What withheld it.
    #[serde(default)]
    pub withheld: Option<Restraint>,
    /// The verdict in one sentence; empty in alerts of versions that said none.
    #[serde(default)]
    pub sentence: String,
    /// The reasons in words, strongest first, and last why more was not done.
    pub reasons: Vec<String>,
    /// Version of the policy in force.
    pub policy: String,
    /// The rule of it that decides, where one does.
    #[serde(default)]
    pub policy_rule: Option<String>,
    /// The story it belongs to.
    pub txn: Txn,
    /// The question put to a human, where one was.
    pub case: Option<CaseId>,
}

impl Alert {
    /// Whom it speaks of.
    pub fn agent(&self) -> AgentKey {
        AgentKey::new(self.issuer.as_deref(), &self.agent_id)
    }

    /// The alert among the effects of a verdict, if there is one.
    pub fn of(
        record: &VerdictRecord,
        evidence: Option<&Evidence>,
        (standing, effects): (&Standing, &[Effect]),
        txn: &Txn,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Self> {
        let (action, would) = effects.iter().find_map(|effect| match effect {
            Effect::Alert { action, would } => Some((*action, *would)),
            _ => None,
        })?;
        let policy_rule =
            evidence.and_then(|evidence| policy.rule_of(evidence)).map(|rule| rule.name.clone());
        let while_asked = match (action, standing) {
            (AlertAction::Challenge, Standing::Challenged(c)) => Some(c.meanwhile.in_force()),
            _ => None,
        };
        let meanwhile = while_asked.and_then(|in_force| match in_force {
            WhileAsked::Gate => None,
            WhileAsked::Suspend => Some("its access is suspended until a human has answered".to_owned()),
            WhileAsked::Observe => Some("it goes on while a human is asked".to_owned()),
        });
        let by_rule = policy_rule.as_ref().map(|name| format!("the policy's rule `{name}` is about this"));
        Some(Self {
            alert_id: alert_id(record.verdict.id),
            verdict_id: record.verdict.id,
            ts: record.verdict.ts,
            at: now,
            issuer: record.issuer.clone(),
            agent_id: record.agent_id.clone(),
            event_id: record.event_id.clone(),
            endpoint: record.endpoint.clone(),
            line: record.line.clone(),
            score: within(record.verdict.level),
            rule: record.verdict.rule,
            actor: record.verdict.actor.clone(),
            layers: record.verdict.layers,
            action,
            severity: Severity::of(action, would.demand),
            while_asked,
            standing: standing.name().to_owned(),
            shadow: would.demand.is_some(),
            would_have: would.demand,
            withheld: would.withheld,
            sentence: record.sentence(),
            reasons: record
                .reasons()
                .into_iter()
                .chain(by_rule)
                .chain(meanwhile)
                .chain(would.said())
                .collect(),
            policy: policy.version().to_owned(),
            policy_rule,
            txn: txn.clone(),
            case: standing.case(),
        })
    }
}

/// The id of the alert that a verdict makes, if it makes one.
pub fn alert_id(verdict: VerdictId) -> String {
    let hash = Sha256::new().chain_update(b"tocsin alert 1").chain_update(verdict.0.to_be_bytes()).finalize();
    hex(&hash[..16])
}
