//! The law of an agent's gaps: histograms of their logarithm, given whether the gap before was short or long
//! (volume-timing study §2).

use serde::{Deserialize, Serialize};

use crate::stored::{Half, Row, Stored};

/// Bins of one octave each, from a millisecond.
pub(crate) const BINS: usize = 30;
/// After a short gap, and after a long one.
const STATES: usize = 2;
/// Memories in events: what the agent is, what it was lately, and what it does now (study: 4000, 200, 30).
pub(super) const SLOW_EVENTS: f64 = 4_000.0;
const MID_EVENTS: f64 = 200.0;
const FAST_EVENTS: f64 = 30.0;
/// Prior weight of a bin (Krichevsky and Trofimov), and of all bins of the shorter memories together.
pub(super) const SLOW_PRIOR: f64 = 0.5;
const MID_PRIOR: f64 = 1.0;
const FAST_PRIOR: f64 = 0.5;
/// Weight of what peers do in a new agent's law, in events.
pub(super) const PEERS_EVENTS: f64 = 20.0;
/// The null: shares of the slow and the middle memory, and the least share of its neighbours' mean (study §2).
const SLOW_SHARE: f64 = 0.75;
const NEIGHBOURS_SHARE: f64 = 0.1;
/// The least chance of any gap: a memory of so many events knows nothing that is rarer than a tenth of one of them.
/// (The study's streams are too short for its prior to have faded so far; without an end to it one gap would be proof.)
const SHARE_MIN: f64 = 0.1 / SLOW_EVENTS;
/// The fast learner's share for a bin it has not seen.
const FAST_FLOOR: f64 = 0.1;
/// Weights grow in place of everything else fading; past this all are brought back.
const GROWN_MAX: f64 = 1e6;

/// The bin of so many whole octaves over a millisecond; beyond an end it is the last.
pub(super) fn bin_at(octaves: i32) -> usize {
    usize::try_from(octaves).unwrap_or(0).min(BINS - 1)
}

/// A histogram with exponential forgetting: instead of fading all bins, the weight of the next event grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, B: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, B: Stored + Deserialize<'de>"
))]
pub(super) struct Fading<S, B> {
    bins: Row<B, BINS>,
    next: S,
    total: S,
}

impl<S: Stored, B: Stored> Fading<S, B> {
    pub(super) fn new(bin: impl Fn(usize) -> f64) -> Self {
        let bins = Row(std::array::from_fn(|b| B::put(bin(b))));
        let mut fading = Self { bins, next: S::put(1.0), total: S::default() };
        fading.sum_up();
        fading
    }

    fn sum_up(&mut self) {
        self.total = S::put(self.bins.0.iter().map(|b| b.get()).sum());
    }

    /// See [`super::Timing::fetch`].
    pub(super) fn fetch(&self) -> f64 {
        self.total.get()
    }

    pub(super) fn share(&self, bin: usize) -> f64 {
        self.bins.0[bin].get() / self.total.get()
    }

    /// The part of the neighbours' mean share that a bin is never believed to hold less than.
    fn beside(&self, bin: usize) -> f64 {
        let [below, above] = [bin.saturating_sub(1), (bin + 1).min(BINS - 1)].map(|b| self.bins.0[b].get());
        NEIGHBOURS_SHARE / 2.0 * (below + above) / self.total.get()
    }

    /// What the bins from `first` on are believed to hold: their share, or [`Self::beside`] where that is more.
    pub(super) fn shares_from<const N: usize>(&self, first: i32) -> [f64; N] {
        let part = 1.0 / self.total.get();
        let held = |octaves: i32| self.bins.0[bin_at(octaves)].get() * part;
        let (mut shares, mut before, mut now) = ([0.0; N], held(first - 1), held(first));
        for (share, above) in shares.iter_mut().zip(first + 1..) {
            let next = held(above);
            *share = now.max(NEIGHBOURS_SHARE / 2.0 * (before + next)).max(SHARE_MIN);
            (before, now) = (now, next);
        }
        shares
    }

    /// What comes next weighs this much more than what came before.
    pub(super) fn fade(&mut self, memory: f64) {
        let weight = self.next.get() / (1.0 - 1.0 / memory);
        self.next = S::put(weight);
        if weight > GROWN_MAX {
            self.bins.0.iter_mut().for_each(|bin| bin.update(|x| x / weight));
            self.next = S::put(1.0);
            self.sum_up();
        }
    }

    /// Adds a share of an event; see [`Stored::put_fairly`] for `chance`.
    pub(super) fn add(&mut self, bin: usize, share: f64, chance: f64) {
        let weight = self.next.get() * share;
        let bin = &mut self.bins.0[bin];
        *bin = B::put_fairly(bin.get() + weight, chance);
        self.total.update(|t| t + weight);
    }

    fn learn(&mut self, bin: usize, memory: f64, chance: f64) {
        self.fade(memory);
        self.add(bin, 1.0, chance);
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

    pub(super) fn add(&mut self, other: &Self) {
        let theirs = other.bins.iter().flat_map(|row| row.0);
        self.bins.iter_mut().flat_map(|row| &mut row.0).zip(theirs).for_each(|(own, more)| *own += more);
    }

    fn share(&self, state: usize, bin: usize) -> f64 {
        let total: f32 = self.bins[state].0.iter().sum();
        if total > 0.0 { f64::from(self.bins[state].0[bin] / total) } else { 0.0 }
    }
}

/// The three memories, each for both states.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, B: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, B: Stored + Deserialize<'de>"
))]
pub(super) struct Gaps<S = f32, B = Half> {
    slow: [Fading<S, B>; STATES],
    mid: [Fading<S, B>; STATES],
    fast: [Fading<S, B>; STATES],
}

impl<S: Stored, B: Stored> Gaps<S, B> {
    /// The law of an agent of which only its peers are known.
    pub(super) fn new(peers: &PeerGaps) -> Self {
        let even = |all: f64| [Fading::new(|_| all / BINS as f64); STATES];
        Self {
            slow: std::array::from_fn(|s| Fading::new(|b| SLOW_PRIOR + PEERS_EVENTS * peers.share(s, b))),
            mid: even(MID_PRIOR),
            fast: even(FAST_PRIOR),
        }
    }

    /// See [`super::Timing::fetch`].
    pub(super) fn fetch(&self) -> f64 {
        [&self.slow, &self.mid, &self.fast].into_iter().flatten().map(Fading::fetch).sum()
    }

    /// Chance of a gap in `bin` for the agent as it is known.
    pub(super) fn known(&self, state: usize, bin: usize) -> f64 {
        let (slow, mid) = (&self.slow[state], &self.mid[state]);
        let mixed = SLOW_SHARE * slow.share(bin) + (1.0 - SLOW_SHARE) * mid.share(bin);
        mixed.max(slow.beside(bin)).max(SHARE_MIN)
    }

    /// Chance of it for one who has just learned what happens now; it has not seen this gap.
    pub(super) fn lately(&self, state: usize, bin: usize) -> f64 {
        (1.0 - FAST_FLOOR) * self.fast[state].share(bin) + FAST_FLOOR / BINS as f64
    }

    /// Learns the gap: as what the agent is unless it is suspect, as what it does now in any case.
    pub(super) fn learn(&mut self, state: usize, bin: usize, suspect: bool, chance: f64) {
        if !suspect {
            self.slow[state].learn(bin, SLOW_EVENTS, chance);
            self.mid[state].learn(bin, MID_EVENTS, chance);
        }
        self.fast[state].learn(bin, FAST_EVENTS, chance);
    }

    /// Weight of what the three memories hold of a state, in events.
    #[cfg(test)]
    pub(super) fn totals(&self, state: usize) -> [f64; 3] {
        [&self.slow, &self.fast, &self.mid].map(|m| m[state].total.get() / m[state].next.get())
    }

    /// The middle of the latest gaps, in octaves over a millisecond.
    pub(super) fn octaves_lately(&self) -> f64 {
        let sums = self.fast.iter().map(|f| {
            let octaves: f64 = (0..BINS).map(|b| f.bins.0[b].get() * (b as f64 + 0.5)).sum();
            (octaves / f.next.get(), f.total.get() / f.next.get())
        });
        let (octaves, events) = sums.fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        octaves / events
    }

    /// The agent is what it was lately, and what peers are.
    pub(super) fn adopt(&mut self, peers: &PeerGaps) {
        let new = Self::new(peers);
        (self.slow, self.mid) = (new.slow, new.mid);
        for (state, fast) in self.fast.iter().enumerate() {
            for law in [&mut self.slow[state], &mut self.mid[state]] {
                for b in 0..BINS {
                    law.bins.0[b].update(|x| x + FAST_EVENTS * fast.share(b));
                }
                law.sum_up();
            }
        }
    }

    /// The agent is as much what it was lately as what it was.
    pub(super) fn accept(&mut self) {
        for (slow, fast) in self.slow.iter_mut().zip(&self.fast) {
            let known = slow.total.get();
            for b in 0..BINS {
                let lately = fast.share(b);
                slow.bins.0[b].update(|x| f64::midpoint(x, known * lately));
            }
            slow.sum_up();
        }
    }
}
