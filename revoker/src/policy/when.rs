//! Rules of a policy: who does what, from where and when, and what may follow at most and at least. The first that fits decides,
//! and no later one is looked at.

use std::collections::HashSet;
use std::net::IpAddr;

use detector::{Attestation, Kind, Network, Span, Timestamp, VerdictRecord, Zone};
use serde::{Deserialize, Serialize};

use super::risk::{Risk, RiskLists};
use crate::config::{OnRule, WhileAsked};
use crate::whom::{Glob, Named};

/// Rules, and entries of one list, at most.
const ITEMS_MAX: usize = 1_000;

/// One rule, a `[[policy.when]]`. What is given must fit all of it; what is not fits anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// What it is called in alerts.
    pub name: String,
    /// Any of these classes of action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risk: Vec<Risk>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Glob>,
    /// Its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Glob>,
    /// The group that its manifest declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Glob>,
    /// Any of these networks; a call whose log names no address fits none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Any of these times of the week.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Span>,
    /// The clock of `hours`; UTC where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// Identities that are worth no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_max: Option<Attestation>,
    /// The least that follows, whatever the evidence says, but for a call that a person approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<OnRule>,
    /// The most that follows without a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<OnRule>,
    /// What the agent does while a human is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_asked: Option<WhileAsked>,
}

/// Rules in order, checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<When>", into = "Vec<When>")]
pub struct Whens(Vec<When>);

/// Rules that contradict themselves or each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// More than may be.
    #[error("{0} rules; {ITEMS_MAX} is the limit")]
    TooMany(usize),
    /// One of them is wrong.
    #[error("rule `{name}`: {reason}")]
    Wrong {
        /// Which.
        name: String,
        /// How.
        reason: &'static str,
    },
}

impl TryFrom<Vec<When>> for Whens {
    type Error = WhenError;
    fn try_from(rules: Vec<When>) -> Result<Self, WhenError> {
        if rules.len() > ITEMS_MAX {
            return Err(WhenError::TooMany(rules.len()));
        }
        let mut names = HashSet::new();
        for rule in &rules {
            let twice = !names.insert(rule.name.as_str());
            if let Some(reason) = rule.wrong().or(twice.then_some("another rule has its name")) {
                return Err(WhenError::Wrong { name: rule.name.clone(), reason });
            }
        }
        Ok(Self(rules))
    }
}

impl From<Whens> for Vec<When> {
    fn from(rules: Whens) -> Self {
        rules.0
    }
}

/// What rules ask about a call.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who made it.
    pub who: Named<'a>,
    /// What kind of record it is; rules are about calls and requests.
    pub kind: Kind,
    /// What was called, with method and operation.
    pub endpoint: &'a str,
    /// See `endpoint`.
    pub method: Option<&'a str>,
    /// See `endpoint`.
    pub operation: Option<&'a str>,
    /// When, event time.
    pub ts: Timestamp,
    /// What the identity is worth.
    pub attestation: Attestation,
    /// From where, as far as the log says.
    pub source_ip: Option<IpAddr>,
}

impl<'a> Facts<'a> {
    /// Those of a verdict's call.
    pub fn of(record: &'a VerdictRecord, group: Option<&'a str>) -> Self {
        let (issuer, agent_id) = (record.issuer.as_deref(), record.agent_id.as_str());
        Self {
            who: Named { issuer, agent_id, group },
            kind: record.kind,
            endpoint: record.called(),
            method: record.method.as_deref(),
            operation: record.operation.as_deref(),
            ts: record.verdict.ts,
            attestation: record.verdict.attestation.get(),
            source_ip: record.beside.source_ip,
        }
    }
}

impl Whens {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule of this place in the order.
    pub fn get(&self, place: u16) -> Option<&When> {
        self.0.get(usize::from(place))
    }

    /// Which rule decides.
    pub fn first(&self, facts: &Facts<'_>, lists: &RiskLists) -> Option<u16> {
        if self.0.is_empty() || !matches!(facts.kind, Kind::Call | Kind::Request) {
            return None;
        }
        let risks = lists.of(facts.method, facts.endpoint, facts.operation);
        let place = self.0.iter().position(|rule| rule.misfit(facts, &risks).is_none())?;
        u16::try_from(place).ok()
    }

    /// Each rule up to the one that decides, with the first of its conditions that does not fit.
    pub fn explain<'r>(
        &'r self,
        facts: &Facts<'_>,
        lists: &RiskLists,
    ) -> impl Iterator<Item = (&'r When, Option<&'static str>)> {
        let risks = lists.of(facts.method, facts.endpoint, facts.operation);
        let mut looked = self.0.iter().map(|rule| (rule, rule.misfit(facts, &risks))).collect::<Vec<_>>();
        let decides = looked.iter().position(|(_, misfit)| misfit.is_none());
        looked.truncate(decides.map_or(looked.len(), |place| place + 1));
        looked.into_iter()
    }
}

impl When {
    fn wrong(&self) -> Option<&'static str> {
        let lists = [self.risk.len(), self.networks.len(), self.hours.len()];
        if self.name.trim().is_empty() || self.name.len() > 100 {
            return Some("name: 1 to 100 bytes must stand here");
        }
        if lists.into_iter().any(|len| len > ITEMS_MAX) {
            return Some("a list has more than 1,000 entries");
        }
        if self.time_zone.is_some() && self.hours.is_empty() {
            return Some("time_zone: says nothing without `hours`");
        }
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) if least as u8 > most as u8 => {
                Some("at_least: asks for more than `at_most`")
            }
            _ => None,
        }
    }

    /// The first condition that does not fit.
    fn misfit(&self, facts: &Facts<'_>, risks: &[Risk]) -> Option<&'static str> {
        let who = &facts.who;
        let fits = |glob: &Option<Glob>, text: Option<&str>| {
            glob.as_ref().is_none_or(|glob| text.is_some_and(|text| glob.covers(text)))
        };
        let within = |network: &Network| facts.source_ip.is_some_and(|address| network.contains(address));
        let conditions = [
            ("risk", self.risk.is_empty() || self.risk.iter().any(|risk| risks.contains(risk))),
            ("agent", fits(&self.agent, Some(who.agent_id))),
            ("issuer", fits(&self.issuer, who.issuer)),
            ("group", fits(&self.group, who.group)),
            ("networks", self.networks.is_empty() || self.networks.iter().any(within)),
            ("hours", self.hours.is_empty() || is_within(&self.hours, self.time_zone.as_ref(), facts.ts)),
            ("attestation_max", self.attestation_max.is_none_or(|most| facts.attestation <= most)),
        ];
        conditions.into_iter().find(|(_, fits)| !fits).map(|(name, _)| name)
    }
}

/// Whether it is one of these times of the week, by this clock or UTC's.
pub(super) fn is_within(hours: &[Span], zone: Option<&Zone>, ts: Timestamp) -> bool {
    let minute = zone.unwrap_or(&Zone::utc()).minute_of_week(ts);
    minute.is_some_and(|minute| hours.iter().any(|span| span.covers(minute)))
}

#[cfg(test)]
mod tests;
