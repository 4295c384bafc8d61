//! The law of an agent's gaps: histograms of their logarithm, given whether the gap before was short or long
//! (volume-timing study §2).

use serde::{Deserialize, Serialize};

use crate::stored::{Half, Row, Stored};

/// Bins of one octave each, from a millisecond.
pub(crate) const BINS: usize = 30;
/// After a short gap, and after a long one.
const STATES: usize = 2;
/// Memories in events: what the agent is, what it was lately, and what it does now (study: 4000, 200, 30).
const SLOW_EVENTS: f64 = 4_000.0;
const MID_EVENTS: f64 = 200.0;
const FAST_EVENTS: f64 = 30.0;
/// Prior weight of a bin (Krichevsky and Trofimov), and of all bins of the shorter memories together.
const SLOW_PRIOR: f64 = 0.5;
const MID_PRIOR: f64 = 1.0;
const FAST_PRIOR: f64 = 0.5;
/// Weight of what peers do in a new agent's law, in events.
pub(super) const PRIOR_EVENTS: f64 = 20.0;
/// The null: shares of the slow and the middle memory, and the least share of its neighbours' mean (study §2).
const SLOW_SHARE: f64 = 0.75;
const NEIGHBOURS_SHARE: f64 = 0.1;
/// The least chance of any gap: a memory of so many events knows nothing that is rarer than a tenth of one of them.
/// (The study's streams are too short for its prior to have faded so far; without an end to it one gap would be proof.)
const CHANCE_MIN: f64 = 0.1 / SLOW_EVENTS;
/// The fast learner's share for a bin it has not seen.
const FAST_FLOOR: f64 = 0.1;
/// Weights grow in place of everything else fading; past this all are brought back.
const GROWN_MAX: f64 = 1e6;

/// A histogram with exponential forgetting: instead of fading all bins, the weight of the next event grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, B: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, B: Stored + Deserialize<'de>"
))]
struct Fading<S, B> {
    bins: [Row<B, BINS>; STATES],
    next: [S; STATES],
    total: [S; STATES],
}

impl<S: Stored, B: Stored> Fading<S, B> {
    fn new(bin: impl Fn(usize, usize) -> f64) -> Self {
        let bins = std::array::from_fn(|s| Row(std::array::from_fn(|b| B::put(bin(s, b)))));
        let mut fading = Self { bins, next: [S::put(1.0); STATES], total: [S::default(); STATES] };
        (0..STATES).for_each(|s| fading.sum_up(s));
        fading
    }

    fn sum_up(&mut self, state: usize) {
        self.total[state] = S::put(self.bins[state].0.iter().map(|b| b.get()).sum());
    }

    fn weight(&self, state: usize, bin: usize) -> f64 {
        self.bins[state].0[bin].get()
    }

    fn share(&self, state: usize, bin: usize) -> f64 {
        self.weight(state, bin) / self.total[state].get()
    }

    fn learn(&mut self, state: usize, bin: usize, memory: f64) {
        let weight = self.next[state].get() / (1.0 - 1.0 / memory);
        self.bins[state].0[bin].update(|x| x + weight);
        self.total[state].update(|t| t + weight);
        self.next[state] = S::put(weight);
        if weight > GROWN_MAX {
            for bin in &mut self.bins[state].0 {
                bin.update(|x| x / weight);
            }
            self.next[state] = S::put(1.0);
            self.sum_up(state);
        }
    }
}

/// Gaps of many agents, from which a new one's law begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerGaps {
    bins: [Row<f32, BINS>; STATES],
}

impl PeerGaps {
    /// A gap of some agent.
    pub(crate) fn learn(&mut self, state: usize, bin: usize) {
        self.bins[state].0[bin] += 1.0;
    }

    fn share(&self, state: usize, bin: usize) -> f64 {
        let total: f32 = self.bins[state].0.iter().sum();
        if total > 0.0 { f64::from(self.bins[state].0[bin] / total) } else { 0.0 }
    }
}

/// The three memories.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, B: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, B: Stored + Deserialize<'de>"
))]
pub(super) struct Gaps<S = f32, B = Half> {
    slow: Fading<S, S>,
    mid: Fading<S, B>,
    fast: Fading<S, B>,
}

impl<S: Stored, B: Stored> Gaps<S, B> {
    /// The law of an agent of which only its peers are known.
    pub(super) fn new(peers: &PeerGaps) -> Self {
        let even = |all: f64| move |_, _| all / BINS as f64;
        Self {
            slow: Fading::new(|s, b| SLOW_PRIOR + PRIOR_EVENTS * peers.share(s, b)),
            mid: Fading::new(even(MID_PRIOR)),
            fast: Fading::new(even(FAST_PRIOR)),
        }
    }

    /// Chance of a gap in `bin` for the agent as it is known.
    pub(super) fn known(&self, state: usize, bin: usize) -> f64 {
        let mixed =
            SLOW_SHARE * self.slow.share(state, bin) + (1.0 - SLOW_SHARE) * self.mid.share(state, bin);
        let beside = |b: usize| self.slow.weight(state, b);
        let neighbours = beside(bin.saturating_sub(1)) + beside((bin + 1).min(BINS - 1));
        let beside = NEIGHBOURS_SHARE * neighbours / 2.0 / self.slow.total[state].get();
        mixed.max(beside).max(CHANCE_MIN)
    }

    /// Chance of it for one who has just learned what happens now; it has not seen this gap.
    pub(super) fn lately(&self, state: usize, bin: usize) -> f64 {
        (1.0 - FAST_FLOOR) * self.fast.share(state, bin) + FAST_FLOOR / BINS as f64
    }

    /// Learns the gap: as what the agent is unless it is suspect, as what it does now in any case.
    pub(super) fn learn(&mut self, state: usize, bin: usize, suspect: bool) {
        if !suspect {
            self.slow.learn(state, bin, SLOW_EVENTS);
            self.mid.learn(state, bin, MID_EVENTS);
        }
        self.fast.learn(state, bin, FAST_EVENTS);
    }

    /// Weight of what the three memories hold of a state, in events.
    #[cfg(test)]
    pub(super) fn totals(&self, state: usize) -> [f64; 3] {
        let events = |total: S, next: S| total.get() / next.get();
        [
            events(self.slow.total[state], self.slow.next[state]),
            events(self.fast.total[state], self.fast.next[state]),
            events(self.mid.total[state], self.mid.next[state]),
        ]
    }

    /// The agent is what it was lately.
    pub(super) fn accept(&mut self) {
        for state in 0..STATES {
            let known = self.slow.total[state].get();
            for b in 0..BINS {
                let lately = self.fast.share(state, b);
                self.slow.bins[state].0[b].update(|x| f64::midpoint(x, known * lately));
            }
            self.slow.sum_up(state);
        }
    }
}
