//! How much comes back, how much goes out, how long calls take, and how large their arguments are.
//!
//! A histogram of two octaves a bin for each. The named alternative is the agent's own, four octaves up, and any size
//! alike: who carries data away takes what the agent takes, at another scale.

use serde::{Deserialize, Serialize};

use super::{Stored, Story, history};
use crate::Call;
use crate::stored::{Half, Row};
use crate::verdict::Pattern;

/// Up to 256 MB, and three days.
const BINS: usize = 14;
const OCTAVES: f64 = 2.0;
/// Four octaves.
const SHIFT: usize = 2;
/// Weight of the prior: any size alike.
const PRIOR: f64 = 8.0;
/// Each size also teaches its neighbours: no edge of a bin is news.
const NEIGHBOUR: f64 = 0.1;
/// The most one call may say, nats.
const STEP_MAX: f64 = 6.0;
/// So many calls are remembered, and half of them from then on.
const MEMORY: f64 = 1_000.0;

/// What is measured of a call, in this order: bytes that come back, bytes that go out, and time.
const ASPECTS: usize = 3;
const LN_ASPECTS: f64 = 1.098_612_288_668_109_6;

/// The sizes of one agent's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sizes {
    aspects: [Aspect; ASPECTS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Aspect {
    bins: Row<Half, BINS>,
    /// A CUSUM, nats, and the last size; that of an argument is negative.
    sum: f32,
    last: f32,
}

impl Sizes {
    /// Takes up what a call measured, learns it at `weight`, and gives the evidence that stands; none where it measured nothing.
    pub(super) fn see(&mut self, call: &Call<'_>, weight: f64) -> Option<f64> {
        // Logs that give arguments seldom count bytes, and an agent has no room for both.
        let argument = call.args.iter().map(|(_, value)| -value.abs()).reduce(f64::min);
        let sent = call.bytes_in.map(|b| b as f64).or(argument);
        let measured = [call.bytes_out.map(|b| b as f64), sent, call.latency_ms];
        if measured.iter().all(Option::is_none) {
            return None;
        }
        for (aspect, size) in self.aspects.iter_mut().zip(measured) {
            if let Some(size) = size {
                aspect.see(size.abs(), weight);
                aspect.last = size as f32;
            }
        }
        // The best of three is one of three.
        Some((self.strongest().1 - LN_ASPECTS).max(0.0))
    }

    fn strongest(&self) -> (usize, f64) {
        let sums = self.aspects.map(|a| f64::from(a.sum));
        (1..ASPECTS).fold((0, sums[0]), |best, i| if sums[i] > best.1 { (i, sums[i]) } else { best })
    }

    pub(super) fn fade(&mut self, left: f64) {
        for aspect in &mut self.aspects {
            aspect.sum.update(|sum| sum * left);
        }
    }

    /// What stood out is normal: it counts as the rest does.
    pub(super) fn accept(&mut self) {
        for aspect in self.aspects.iter_mut().filter(|a| a.sum > 0.0) {
            let weight = aspect.weight().max(PRIOR);
            aspect.learn(bin(f64::from(aspect.last.abs())), weight);
            aspect.sum = 0.0;
        }
    }

    /// What stood out is dropped; it was learned at little weight.
    pub(super) fn disown(&mut self) {
        self.aspects.iter_mut().for_each(|aspect| aspect.sum = 0.0);
    }

    pub(super) fn story(&self, base: Story, has_peers: bool) -> Story {
        let (i, _) = self.strongest();
        let aspect = &self.aspects[i];
        let n = aspect.weight();
        Story {
            pattern: match i {
                0 => Pattern::LargeAnswers,
                1 if aspect.last < 0.0 => Pattern::LargeArgument,
                1 => Pattern::LargeRequests,
                _ => Pattern::Slow,
            },
            observed: f64::from(aspect.last.abs()),
            expected: aspect.median(),
            history: history(n, n / (n + PRIOR), has_peers),
            ..base
        }
    }
}

impl Aspect {
    fn see(&mut self, size: f64, weight: f64) {
        let (at, whole) = (bin(size), self.weight() + PRIOR);
        let share = |bin: usize| (self.bins.0[bin].get() + PRIOR / BINS as f64) / whole;
        let shifted = at.checked_sub(SHIFT).map_or(0.0, share);
        let attack = 0.5 * shifted + 0.5 / BINS as f64;
        let times = attack / share(at);
        // Where nothing stands, what speaks against it need not be known to the digit.
        if self.sum > 0.0 || times > 1.0 {
            let more = libm::log(times).clamp(-STEP_MAX, STEP_MAX);
            // Below its own median nobody carries anything away.
            if more < 0.0 || size > self.median() {
                self.sum.update(|sum| (sum + more).max(0.0));
            }
        }
        self.learn(at, weight);
    }

    fn learn(&mut self, at: usize, weight: f64) {
        self.bins.0[at].update(|n| n + weight * (1.0 - 2.0 * NEIGHBOUR));
        for near in [at.saturating_sub(1), (at + 1).min(BINS - 1)] {
            self.bins.0[near].update(|n| n + weight * NEIGHBOUR);
        }
        if self.weight() > MEMORY {
            for bin in &mut self.bins.0 {
                bin.update(|n| n / 2.0);
            }
        }
    }

    fn weight(&self) -> f64 {
        self.bins.0.iter().map(|n| n.get()).sum()
    }

    /// The middle of the bin that holds the median size.
    fn median(&self) -> f64 {
        let half = self.weight() / 2.0;
        let mut below = 0.0;
        let at = self.bins.0.iter().position(|n| {
            below += n.get();
            below >= half
        });
        libm::exp2((at.unwrap_or(0) as f64 + 0.5) * OCTAVES) - 1.0
    }
}

fn bin(size: f64) -> usize {
    ((libm::log2(size.max(0.0) + 1.0) / OCTAVES) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_that_of_how_many_are_measured() {
        assert_eq!(LN_ASPECTS.to_bits(), libm::log(ASPECTS as f64).to_bits());
    }
}
