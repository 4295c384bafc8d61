use clickhouse::Row;
use detector::{MicroBits, Part, Timestamp, VerdictRecord};
use serde::{Serialize, Serializer};

use super::Identity;
use crate::store::migrate::hex_digit;

/// A row of `verdicts`.
#[derive(Clone, Debug, Row, Serialize)]
pub struct VerdictRow<'a> {
    id: [u8; 32],
    version: u16,
    event_id: &'a str,
    kind: &'static str,
    ts: Timestamp,
    agent_id: &'a str,
    issuer: Option<&'a str>,
    instance_id: Option<&'a str>,
    session_id: Option<&'a str>,
    endpoint: &'a str,
    route: &'a str,
    level_microbits: MicroBits,
    added_microbits: MicroBits,
    #[serde(rename = "parts.signal")]
    part_signal: Column<'a, &'static str>,
    #[serde(rename = "parts.microbits")]
    part_microbits: Column<'a, MicroBits>,
    #[serde(rename = "parts.added_microbits")]
    part_added_microbits: Column<'a, MicroBits>,
    #[serde(rename = "parts.level_microbits")]
    part_level_microbits: Column<'a, MicroBits>,
    #[serde(rename = "parts.pattern")]
    part_pattern: Column<'a, &'static str>,
    #[serde(rename = "parts.observed")]
    part_observed: Column<'a, f64>,
    #[serde(rename = "parts.expected")]
    part_expected: Column<'a, f64>,
    #[serde(rename = "parts.low")]
    part_low: Column<'a, f64>,
    #[serde(rename = "parts.high")]
    part_high: Column<'a, f64>,
    #[serde(rename = "parts.since")]
    part_since: Column<'a, Timestamp>,
    #[serde(rename = "parts.window_ms")]
    part_window_ms: Column<'a, u64>,
    #[serde(rename = "parts.quiet_at")]
    part_quiet_at: Column<'a, f64>,
    #[serde(rename = "parts.history_n")]
    part_history_n: Column<'a, u32>,
    #[serde(rename = "parts.history_prior")]
    part_history_prior: Column<'a, u16>,
    #[serde(rename = "parts.history_peers")]
    part_history_peers: Column<'a, u16>,
    #[serde(rename = "parts.history_own")]
    part_history_own: Column<'a, u16>,
    families: u8,
    jump: f32,
    attestation: &'static str,
    model: u32,
    rule: &'static str,
    rule_observed: u64,
    rule_limit: u64,
    rule_window_ms: u64,
    rule_since: Timestamp,
    cohort: u32,
    cohort_pattern: &'static str,
    cohort_since: Timestamp,
    cohort_agents: u32,
    cohort_exposed: u32,
    cohort_factor: f32,
    cohort_own_microbits: MicroBits,
    cohort_is_beyond: bool,
    layer_identity: &'static str,
    layer_context: &'static str,
    layer_runtime: &'static str,
    layer_behaviour: &'static str,
    actor: &'static str,
    actor_because: Vec<&'static str>,
    line: &'a str,
    misfit: &'a str,
    misfit_after: &'a str,
}

impl<'a> From<&'a VerdictRecord> for VerdictRow<'a> {
    fn from(record: &'a VerdictRecord) -> Self {
        let verdict = &record.verdict;
        Self {
            id: hex(verdict.id.0),
            version: verdict.version,
            event_id: &record.event_id,
            kind: record.kind.as_str(),
            ts: verdict.ts,
            agent_id: &record.agent_id,
            issuer: record.issuer.as_deref(),
            instance_id: record.instance_id.as_deref(),
            session_id: record.session_id.as_deref(),
            endpoint: &record.endpoint,
            route: record.route.as_deref().unwrap_or(""),
            level_microbits: verdict.level,
            added_microbits: verdict.added,
            part_signal: Column(&verdict.parts, |p| p.signal.as_str()),
            part_microbits: Column(&verdict.parts, |p| p.bits),
            part_added_microbits: Column(&verdict.parts, |p| p.added),
            part_level_microbits: Column(&verdict.parts, |p| p.level),
            part_pattern: Column(&verdict.parts, |p| p.pattern.as_str()),
            part_observed: Column(&verdict.parts, |p| p.observed),
            part_expected: Column(&verdict.parts, |p| p.expected),
            part_low: Column(&verdict.parts, |p| p.low),
            part_high: Column(&verdict.parts, |p| p.high),
            part_since: Column(&verdict.parts, |p| p.since),
            part_window_ms: Column(&verdict.parts, |p| p.window_ms),
            part_quiet_at: Column(&verdict.parts, |p| p.quiet_at),
            part_history_n: Column(&verdict.parts, |p| p.history.n),
            part_history_prior: Column(&verdict.parts, |p| p.history.prior),
            part_history_peers: Column(&verdict.parts, |p| p.history.peers),
            part_history_own: Column(&verdict.parts, |p| p.history.own),
            families: verdict.families,
            jump: verdict.jump,
            attestation: verdict.attestation.get().as_str(),
            model: verdict.model,
            rule: verdict.rule.map_or("", |rule| rule.kind.as_str()),
            rule_observed: verdict.rule.map_or(0, |rule| rule.observed),
            rule_limit: verdict.rule.map_or(0, |rule| rule.limit),
            rule_window_ms: verdict.rule.map_or(0, |rule| rule.window_ms),
            rule_since: verdict.rule.map_or(verdict.ts, |rule| rule.since),
            cohort: verdict.cohort.map_or(0, |cohort| cohort.incident),
            cohort_pattern: verdict.cohort.map_or("", |cohort| cohort.pattern.as_str()),
            cohort_since: verdict.cohort.map_or(verdict.ts, |cohort| cohort.since),
            cohort_agents: verdict.cohort.map_or(0, |cohort| cohort.agents),
            cohort_exposed: verdict.cohort.map_or(0, |cohort| cohort.exposed),
            cohort_factor: verdict.cohort.map_or(0.0, |cohort| cohort.factor),
            cohort_own_microbits: verdict.cohort.map_or(MicroBits::ZERO, |cohort| cohort.own),
            cohort_is_beyond: verdict.cohort.is_some_and(|cohort| cohort.is_beyond),
            layer_identity: verdict.layers.identity.as_str(),
            layer_context: verdict.layers.context.as_str(),
            layer_runtime: verdict.layers.runtime.as_str(),
            layer_behaviour: verdict.layers.behaviour.as_str(),
            actor: verdict.actor.is.as_str(),
            actor_because: verdict.actor.because.iter().map(|pattern| pattern.as_str()).collect(),
            line: record.line.as_deref().unwrap_or(""),
            misfit: record.misfit.as_ref().map_or("", |misfit| &misfit.call),
            misfit_after: record.misfit.as_ref().and_then(|misfit| misfit.after.as_deref()).unwrap_or(""),
        }
    }
}

impl VerdictRow<'_> {
    /// What makes it this verdict: its id, which stands for event and version, and what it says.
    pub(in crate::store) fn identify(&self, identity: &mut Identity) {
        identity.bytes(&self.id);
        identity.number(self.level_microbits.as_micros() as u64);
    }
}

/// One field of every part, as an array.
#[derive(Clone, Debug)]
struct Column<'a, T>(&'a [Part], fn(&Part) -> T);

impl<T: Serialize> Serialize for Column<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// The 32 lower-case hex digits by which the id is known everywhere else.
fn hex(id: u128) -> [u8; 32] {
    std::array::from_fn(|i| hex_digit((id >> (124 - 4 * i)) as u8 & 0xf))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn an_id_reads_as_it_does_everywhere_else(id: u128) {
            let printed = detector::VerdictId(id).to_string();
            proptest::prop_assert_eq!(printed.as_bytes(), hex(id));
        }
    }
}
