//! The fleet itself: an iterator over the calls of many agents in order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::f64::consts::PI;
use std::time::Duration;

use detector::{Attestation, Call, CredentialKind, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// What agents of each role do; the first endpoints most of all. Roles share none, so a foreign endpoint is foreign.
const ROLES: [(&str, [&str; 6]); 4] = [
    ("support", ["search_tickets", "read_ticket", "draft_reply", "send_reply", "close_ticket", "escalate"]),
    (
        "billing",
        ["list_invoices", "read_invoice", "match_payment", "post_ledger", "issue_refund", "close_period"],
    ),
    (
        "deploy",
        ["git:Fetch", "ci:StartBuild", "ci:ReadLog", "k8s:GetPods", "k8s:ApplyManifest", "k8s:Rollback"],
    ),
    ("research", ["web_search", "fetch_page", "summarize", "save_note", "list_notes", "share_note"]),
];
/// A session ends when its agent pauses longer than this.
const SESSION_GAP: Duration = Duration::from_mins(15);
/// A burst multiplies the agent's rate by this, for so long.
const BURST_FACTOR: f64 = 50.0;
const BURST_LENGTH: Duration = Duration::from_mins(10);
/// A hijacked agent makes this many calls to another role's rarest endpoints, this far apart.
const FOREIGN_CALLS: u32 = 6;
const FOREIGN_GAP: Duration = Duration::from_secs(8);
/// No burst of any agent is faster than this.
const RATE_PER_HOUR_MAX: f64 = 3_600_000.0;

/// What to simulate.
#[derive(Clone, Debug)]
pub(crate) struct FleetSpec {
    /// The same seed gives the same calls.
    pub(crate) seed: u64,
    pub(crate) agents: u32,
    pub(crate) start: Timestamp,
    pub(crate) length: Duration,
    /// Median over the agents, > 0.
    pub(crate) calls_per_hour: f64,
    /// Attacks of each kind.
    pub(crate) attacks: u32,
}

/// The rate is not one.
#[derive(Debug, thiserror::Error)]
#[error("calls-per-hour {0} must be above 0 and at most {RATE_PER_HOUR_MAX}")]
pub(crate) struct BadRate(f64);

/// One labelled attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Attack {
    /// `burst` or `foreign_endpoint`.
    pub(crate) label: &'static str,
    pub(crate) agent_id: String,
    /// Calls of the attack carry this session.
    pub(crate) session_id: String,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

struct Agent {
    id: String,
    role: usize,
    per_hour: f64,
    /// Works by day, rests by night.
    nightly: bool,
    session: u32,
    last: Option<Timestamp>,
}

/// An agent's next call: when, which agent, and for a foreign endpoint which attack and how many calls are left.
type Due = (Timestamp, usize, Option<(usize, u32)>);

/// Calls in order of time; equal times in order of agent.
pub(crate) struct Fleet {
    rng: StdRng,
    end: Timestamp,
    agents: Vec<Agent>,
    due: BinaryHeap<Reverse<Due>>,
    attacks: Vec<Attack>,
    calls: u64,
}

impl Fleet {
    pub(crate) fn new(spec: &FleetSpec) -> Result<Self, BadRate> {
        if !(spec.calls_per_hour > 0.0 && spec.calls_per_hour <= RATE_PER_HOUR_MAX) {
            return Err(BadRate(spec.calls_per_hour));
        }
        let mut rng = StdRng::seed_from_u64(spec.seed);
        let agents: Vec<Agent> = (0..spec.agents)
            .map(|i| {
                let role = i as usize % ROLES.len();
                let per_hour = spec.calls_per_hour * 4_f64.powf(rng.random_range(-1.0..1.0));
                Agent {
                    id: format!("{}-{i:03}", ROLES[role].0),
                    role,
                    per_hour,
                    nightly: i % 2 == 1,
                    session: 0,
                    last: None,
                }
            })
            .collect();
        let attacks = plan_attacks(spec, &agents, &mut rng);
        let mut fleet =
            Self { rng, end: spec.start + spec.length, agents, due: BinaryHeap::new(), attacks, calls: 0 };
        for agent in 0..fleet.agents.len() {
            fleet.schedule(agent, spec.start);
        }
        for (i, attack) in fleet.attacks.iter().enumerate().filter(|(_, a)| a.label == "foreign_endpoint") {
            let agent = fleet.agents.iter().position(|a| a.id == attack.agent_id).unwrap_or(0);
            fleet.due.push(Reverse((attack.from, agent, Some((i, FOREIGN_CALLS)))));
        }
        Ok(fleet)
    }

    /// What is hidden in the calls.
    pub(crate) fn attacks(&self) -> &[Attack] {
        &self.attacks
    }

    /// Draws the agent's next call after `from`: a Poisson process by thinning (Lewis and Shedler, 1979).
    fn schedule(&mut self, agent: usize, from: Timestamp) {
        let a = &self.agents[agent];
        let bursting = self.attacks.iter().any(|k| k.label == "burst" && k.agent_id == a.id);
        let most = a.per_hour * 2.0 * if bursting { BURST_FACTOR } else { 1.0 };
        let mut ts = from;
        while ts < self.end {
            let gap_hours = -(1.0 - self.rng.random::<f64>()).ln() / most;
            ts = ts + Duration::from_secs_f64((gap_hours * 3_600.0).min(1e9));
            if self.rng.random::<f64>() * most < self.rate(agent, ts) {
                self.due.push(Reverse((ts, agent, None)));
                return;
            }
        }
    }

    /// Calls an hour at `ts`: up to twice the mean by day and almost none by night for those that rest.
    fn rate(&self, agent: usize, ts: Timestamp) -> f64 {
        let a = &self.agents[agent];
        let hour = (ts.as_millis().rem_euclid(86_400_000)) as f64 / 3_600_000.0;
        let season = if a.nightly { 1.0 - 0.95 * (2.0 * PI * (hour - 1.0) / 24.0).cos() } else { 1.0 };
        let burst = if self.burst(agent, ts).is_some() { BURST_FACTOR } else { 1.0 };
        a.per_hour * season * burst
    }

    fn burst(&self, agent: usize, ts: Timestamp) -> Option<&Attack> {
        let id = &self.agents[agent].id;
        self.attacks.iter().find(|k| k.label == "burst" && k.agent_id == *id && k.from <= ts && ts < k.to)
    }

    fn call(&mut self, ts: Timestamp, agent: usize, foreign: Option<(usize, u32)>) -> Call<'static> {
        let attack = match foreign {
            Some((i, _)) => Some(&self.attacks[i]),
            None => self.burst(agent, ts),
        };
        let attack = attack.map(|a| a.session_id.clone());
        let a = &mut self.agents[agent];
        if a.last.is_none_or(|last| ts.since(last) > SESSION_GAP) {
            a.session += 1;
        }
        a.last = Some(ts);
        let session = attack.unwrap_or_else(|| format!("{}/{}", a.id, a.session));
        let endpoint = match foreign {
            // The rarest things that another role does.
            Some((_, left)) => ROLES[(a.role + 1) % ROLES.len()].1[3 + left as usize % 3],
            // Zipf over six: the first half of the time, the last one in ten.
            None => ROLES[a.role].1[zipf(self.rng.random::<f64>())],
        };
        self.calls += 1;
        let mut call = Call::new(format!("sim-{}", self.calls), ts, a.id.clone(), endpoint);
        call.identity.session_id = Some(session.into());
        call.identity.instance_id = Some(format!("{}#0", a.id).into());
        call.identity.token_id = Some(format!("jti-{}-{}", a.id, ts.as_millis() / 3_600_000).into());
        call.credential.kind = CredentialKind::Oauth;
        call.method = Some("CALL".into());
        call.status = Some(200);
        call.claimed = Attestation::Token;
        call
    }
}

impl Iterator for Fleet {
    type Item = Call<'static>;

    fn next(&mut self) -> Option<Call<'static>> {
        let Reverse((ts, agent, foreign)) = self.due.pop()?;
        // Whole milliseconds, as the logs of real gateways have them.
        let call = self.call(Timestamp::from_millis(ts.as_millis()), agent, foreign);
        match foreign {
            None => self.schedule(agent, ts),
            Some((_, 1)) => {}
            Some((attack, left)) => {
                self.due.push(Reverse((ts + FOREIGN_GAP, agent, Some((attack, left - 1)))));
            }
        }
        Some(call)
    }
}

/// What agent number `agent` calls when it does what it always does; `u` is uniform in [0, 1).
pub(crate) fn usual_endpoint(agent: usize, u: f64) -> &'static str {
    ROLES[agent % ROLES.len()].1[zipf(u)]
}

fn zipf(u: f64) -> usize {
    const WHOLE: f64 = 1.0 + 1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0 + 1.0 / 5.0 + 1.0 / 6.0;
    let mut left = u * WHOLE;
    for i in 0..5 {
        left -= 1.0 / (i as f64 + 1.0);
        if left < 0.0 {
            return i;
        }
    }
    5
}

/// Attacks fall in the last third, each on an agent of its own while there are enough.
fn plan_attacks(spec: &FleetSpec, agents: &[Agent], rng: &mut StdRng) -> Vec<Attack> {
    let third = spec.length / 3;
    (0..spec.attacks * 2)
        .map(|i| {
            let agent = &agents[(i as usize * 3 + 1) % agents.len()];
            let from = spec.start + third * 2 + third.mul_f64(rng.random_range(0.0..0.9));
            let from = Timestamp::from_millis(from.as_millis());
            let (label, length) = if i % 2 == 0 {
                ("burst", BURST_LENGTH)
            } else {
                ("foreign_endpoint", FOREIGN_GAP * FOREIGN_CALLS)
            };
            let session_id = format!("{}/attack-{i}", agent.id);
            Attack { label, agent_id: agent.id.clone(), session_id, from, to: from + length }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> FleetSpec {
        FleetSpec {
            seed: 7,
            agents: 12,
            start: "2026-01-05T00:00:00Z".parse().unwrap(),
            length: Duration::from_hours(48),
            calls_per_hour: 60.0,
            attacks: 2,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_calls_in_order() {
        let calls: Vec<_> = Fleet::new(&spec()).unwrap().collect();
        assert!(calls.is_sorted_by_key(|c| c.ts) && calls.len() > 10_000, "{}", calls.len());
        assert!(calls == Fleet::new(&spec()).unwrap().collect::<Vec<_>>());
        assert!(calls != Fleet::new(&FleetSpec { seed: 8, ..spec() }).unwrap().collect::<Vec<_>>());
        assert!(Fleet::new(&FleetSpec { calls_per_hour: f64::NAN, ..spec() }).is_err());
    }

    #[test]
    fn every_label_marks_calls_that_are_there_and_differ() {
        let fleet = Fleet::new(&spec()).unwrap();
        let attacks = fleet.attacks().to_vec();
        let calls: Vec<_> = fleet.collect();
        assert_eq!(attacks.len(), 4);
        for attack in attacks {
            let of_attack = |c: &&Call| c.identity.session_id.as_deref() == Some(&attack.session_id);
            let n = calls.iter().filter(of_attack).count();
            let before = attack.from - BURST_LENGTH;
            let usual = calls
                .iter()
                .filter(|c| c.identity.agent_id == attack.agent_id && c.ts >= before && c.ts < attack.from)
                .count();
            if attack.label == "burst" {
                assert!(n > 10 * usual.max(1), "{attack:?}: {n} calls after {usual}");
            } else {
                assert_eq!(n, FOREIGN_CALLS as usize, "{attack:?}");
            }
            assert!(
                calls.iter().filter(of_attack).all(|c| attack.from <= c.ts && c.ts < attack.to + FOREIGN_GAP)
            );
        }
    }
}
