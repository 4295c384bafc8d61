//! How often calls are denied, fail, or come from another place than the one before: over-dispersed binomials.
//!
//! Such events come in clumps (a token has expired, a server is down), so within an hour each makes the next less of a
//! surprise: the null is a beta-binomial whose beta weighs as much as [`CLUMP`] calls. The named alternative is somebody who
//! tries what he may not, for whom it is the rule rather than the exception. Hours under suspicion are learned
//! at a tenth of their weight.

use serde::{Deserialize, Serialize};

use super::facts::{Facts, hour_of};
use crate::Timestamp;

/// Weight of what peers do, in calls, and how often it happens to them before anything is known.
pub(super) const PRIOR_TRIALS: f64 = 20.0;
const PRIOR: f64 = 0.02;
const PRIOR_PEERS: f64 = 1.0;
/// Weight of an agent's own rate against what the present hour brought, in calls.
const CLUMP: f64 = 30.0;
/// To whom it happens on purpose, it does to so many of his calls at least, and so many times as often.
const RULE: f64 = 0.3;
const TIMES: f64 = 5.0;
const MOST: f64 = 0.95;
/// An agent that has two clients shows it in so many calls; before that it is no evidence that it does.
const KNOWN: f32 = 100.0;
/// So many calls are remembered, and half of them from then on.
const MEMORY: f32 = 4_096.0;

/// How often it happens to the fleet's agents: the n-th call of an agent weighs 1/n, so that none speaks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RateModel {
    hits: f64,
    trials: f64,
}

impl RateModel {
    pub(super) fn add(&mut self, Self { hits, trials }: Self) {
        self.hits += hits;
        self.trials += trials;
    }

    fn rate(&self) -> f64 {
        (self.hits + PRIOR_PEERS * PRIOR) / (self.trials + PRIOR_PEERS)
    }
}

/// How often it happens to one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    hits: f32,
    trials: f32,
    /// Those of the present hour, which are not learned yet.
    hour: u32,
    hour_hits: u16,
    hour_trials: u16,
}

impl Rate {
    /// A call to which it did or did not happen, and how many times as likely the alternative made that: the logarithm adds to the
    /// evidence, in nats. An hour that is over is learned at `weight`, and by `peers` from who may teach them.
    pub(super) fn see(
        &mut self,
        hit: bool,
        ts: Timestamp,
        model: &RateModel,
        weight: f64,
        peers: Option<&mut RateModel>,
    ) -> f64 {
        let hour = hour_of(ts);
        if hour != self.hour {
            self.learn(weight, peers);
            (self.hour, self.hour_hits, self.hour_trials) = (hour, 0, 0);
        }
        let usual = self.usual(model);
        let clumped = (CLUMP * usual + f64::from(self.hour_hits)) / (CLUMP + f64::from(self.hour_trials));
        let attack = (TIMES * usual).clamp(RULE, MOST);
        if self.hour_trials == u16::MAX {
            // Of more calls in an hour than that the share is kept.
            (self.hour_hits, self.hour_trials) = (self.hour_hits / 2, self.hour_trials / 2);
        }
        self.hour_hits += u16::from(hit);
        self.hour_trials += 1;
        if hit { attack / clumped } else { (1.0 - attack) / (1.0 - clumped) }
    }

    /// Whether enough calls have shown how often it happens to this agent.
    pub(super) fn is_known(&self) -> bool {
        self.trials >= KNOWN
    }

    /// See [`super::Circumstances::fetch`].
    pub(super) fn fetch(&self) -> u64 {
        u64::from(self.hour)
    }

    fn usual(&self, model: &RateModel) -> f64 {
        (f64::from(self.hits) + PRIOR_TRIALS * model.rate()) / (f64::from(self.trials) + PRIOR_TRIALS)
    }

    fn learn(&mut self, weight: f64, peers: Option<&mut RateModel>) {
        let [hits, trials] = [self.hour_hits, self.hour_trials].map(|n| f32::from(n) * weight as f32);
        if let (Some(peers), true) = (peers, trials > 0.0) {
            let weight = 1.0 / f64::from(self.trials + trials);
            peers.hits += f64::from(hits) * weight;
            peers.trials += f64::from(trials) * weight;
        }
        (self.hits, self.trials) = (self.hits + hits, self.trials + trials);
        if self.trials > MEMORY {
            (self.hits, self.trials) = (self.hits / 2.0, self.trials / 2.0);
        }
    }

    /// What the present hour brought is normal: from now on it weighs no less than all that came before.
    pub(super) fn accept(&mut self) {
        let (hits, trials) = (f32::from(self.hour_hits), f32::from(self.hour_trials));
        let left = (trials / self.trials.max(f32::MIN_POSITIVE)).min(1.0);
        (self.hits, self.trials) = (self.hits * left + hits, self.trials * left + trials);
        (self.hour_hits, self.hour_trials) = (0, 0);
    }

    /// The present hour is not learned.
    pub(super) fn disown(&mut self) {
        (self.hour_hits, self.hour_trials) = (0, 0);
    }

    /// How often it happened in this hour, how often it would as a rule, and on how many calls that rests.
    pub(super) fn story(&self, model: &RateModel) -> (f64, f64, f64) {
        let expected = self.usual(model) * f64::from(self.hour_trials);
        (f64::from(self.hour_hits), expected, f64::from(self.trials))
    }
}

/// From where, and by which client, an agent's credentials were used last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Places {
    /// The bearer, its network, its client and the client before that one, as bits of their hashes; 0 is not told. The latest first.
    bearers: [(u32, u16, u8, u8); BEARERS],
    /// Whether the last call told a network or a client.
    told: bool,
    /// Whether what was counted last is a client that came back.
    by_client: bool,
}

const BEARERS: usize = 3;

/// Who uses a credential, compared with its last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    None,
    /// The client before the last one again, from the same network as far as that is told. Once changed it may be another for good.
    Client,
    Network,
}

impl Places {
    /// How this call's credential compares with its last use; none where nothing is known of that.
    pub(super) fn see(&mut self, facts: &Facts) -> Option<Switch> {
        let network = facts.network.map_or(0, |hash| (hash as u16).max(1));
        let client = facts.client.map_or(0, |hash| (hash as u8).max(1));
        self.told = network > 0 || client > 0;
        if !self.told {
            return None;
        }
        let bearer = (facts.bearer as u32).max(1);
        let at = self.bearers.iter().position(|(who, ..)| *who == bearer);
        let (_, was_network, was, before) = at.map_or((bearer, 0, 0, 0), |at| self.bearers[at]);
        let is_other = client > 0 && was > 0 && client != was;
        let switch = if network > 0 && was_network > 0 && network != was_network {
            Switch::Network
        } else if is_other && client == before {
            Switch::Client
        } else {
            Switch::None
        };
        if switch != Switch::None {
            self.by_client = switch == Switch::Client;
        }
        self.bearers[..=at.unwrap_or(BEARERS - 1)].rotate_right(1);
        let client = if client > 0 { client } else { was };
        self.bearers[0] = (bearer, network, client, if is_other { was } else { before });
        at.map(|_| switch)
    }

    /// A call that says of its caller what the last one said comes from the same place, if any was told.
    pub(super) fn stays(&self) -> bool {
        self.told
    }

    /// Whether what was counted last is a client that came back.
    pub(super) fn by_client(&self) -> bool {
        self.by_client
    }
}
