//! Several signals, one score in bits, whose parts sum to it exactly.

use arrayvec::ArrayVec;

use crate::signal::Evidence;
use crate::{History, MicroBits, PARTS_MAX, Part, Signal};

/// Each signal family's share of the false-alarm budget (volume-timing study §5 gives volume 0.4 and endpoint 0.4 with
/// 0.2 for timing; with the two that are here it is a half each).
const SHARE: f64 = 0.5;

/// The combined score of one call.
pub(crate) struct Score {
    pub(crate) level: MicroBits,
    pub(crate) added: MicroBits,
    pub(crate) parts: ArrayVec<Part, PARTS_MAX>,
    pub(crate) families: u8,
}

/// The level of one signal alone: evidence less the price of its looks and its share of the budget.
pub(crate) fn level(bits: f64, looks_per_day: f64) -> f64 {
    bits - (looks_per_day / SHARE).log2()
}

/// The signal that would recur least often wins and tells the story; the other is shown beside it with no bits.
pub(crate) fn combine(volume: &Evidence, endpoint: &Evidence, watch: MicroBits) -> Score {
    let signals = [(Signal::Volume, volume), (Signal::Endpoint, endpoint)];
    let winner = |bits: fn(&Evidence) -> f64| {
        let [v, e] = signals.map(|(_, s)| level(bits(s), s.looks_per_day));
        usize::from(e > v)
    };
    let (now, before) = (winner(|s| s.bits), winner(|s| s.bits_before));
    let price = |won: usize| MicroBits::from_bits(-(signals[won].1.looks_per_day / SHARE).log2());
    let share =
        |i: usize, won: usize, bits: f64| if i == won { MicroBits::from_bits(bits) } else { MicroBits::ZERO };

    let mut parts = ArrayVec::new();
    for (i, (signal, s)) in signals.iter().enumerate() {
        let bits = share(i, now, s.bits);
        parts.push(Part {
            signal: *signal,
            bits,
            added: bits - share(i, before, s.bits_before),
            observed: s.observed,
            expected: s.expected,
            window_ms: s.window_ms,
            history: s.history,
            quiet_at: s.observed,
        });
    }
    parts.push(Part {
        signal: Signal::LookElsewhere,
        bits: price(now),
        added: price(now) - price(before),
        observed: signals[now].1.looks_per_day / SHARE,
        expected: 1.0,
        window_ms: 86_400_000,
        history: History { prior: 1_000, ..History::default() },
        quiet_at: signals[now].1.looks_per_day / SHARE,
    });
    Score {
        level: parts.iter().map(|p| p.bits).sum(),
        added: parts.iter().map(|p| p.added).sum(),
        families: signals
            .iter()
            .filter(|(_, s)| MicroBits::from_bits(level(s.bits, s.looks_per_day)) >= watch)
            .count() as u8,
        parts,
    }
}
