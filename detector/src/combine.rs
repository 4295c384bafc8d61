//! Several signals, one score in bits, whose parts sum to it exactly.

use arrayvec::ArrayVec;

use crate::signal::{Evidence, Strength};
use crate::{Call, History, MicroBits, PARTS_MAX, Part, Signal};

/// Each signal family's share of the false-alarm budget. The study (volume-timing §5) gives 0.4, 0.2 and 0.4; endpoints,
/// which are not calibrated on the agent's own excursions yet, keep half.
pub(crate) const SHARES: [(Signal, f64); FAMILIES] =
    [(Signal::Volume, 0.35), (Signal::Timing, 0.15), (Signal::Endpoint, 0.5)];
const FAMILIES: usize = 3;

/// The combined score of one call.
pub(crate) struct Score {
    pub(crate) level: MicroBits,
    pub(crate) added: MicroBits,
    pub(crate) parts: ArrayVec<Part, PARTS_MAX>,
    pub(crate) families: u8,
}

/// A family's own level: its strength at its share of the budget.
pub(crate) fn level(family: usize, strength: Strength) -> f64 {
    strength.level() + libm::log2(SHARES[family].1)
}

/// The strength, −log2 of recurrences a day, at which a family alone reaches `level`.
pub(crate) fn allowed(family: usize, level: MicroBits) -> f64 {
    level.as_bits() - libm::log2(SHARES[family].1)
}

/// The family that would recur least often wins and tells the story; the others stand beside it with no bits.
pub(crate) fn combine(evidence: &[Evidence; FAMILIES], call: &Call<'_>, watch: MicroBits) -> Score {
    let winner = |strength: fn(&Evidence) -> Strength| {
        let levels: [f64; FAMILIES] = std::array::from_fn(|f| level(f, strength(&evidence[f])));
        (1..FAMILIES).fold(0, |best, f| if levels[f] > levels[best] { f } else { best })
    };
    let (now, before) = (winner(|e| e.now), winner(|e| e.before));
    let price = |family: usize, strength: Strength| {
        MicroBits::from_bits(level(family, Strength { bits: 0.0, ..strength }))
    };
    let share = |is_winner: bool, bits: f64| {
        if is_winner { MicroBits::from_bits(bits) } else { MicroBits::ZERO }
    };

    let mut families = 0;
    let mut parts = ArrayVec::new();
    for (f, e) in evidence.iter().enumerate() {
        let (bits, story) = (share(f == now, e.now.bits), e.story);
        let alone = MicroBits::from_bits(level(f, e.now));
        families += u8::from(alone >= watch);
        parts.push(Part {
            signal: SHARES[f].0,
            bits,
            added: bits - share(f == before, e.before.bits),
            level: alone,
            pattern: story.pattern,
            observed: story.observed,
            expected: story.expected,
            low: story.low,
            high: story.high,
            since: story.since,
            window_ms: story.window_ms,
            history: story.history,
            quiet_at: story.observed,
        });
    }
    let looks = evidence[now].now.per_day / SHARES[now].1;
    let bits = price(now, evidence[now].now);
    parts.push(Part {
        signal: Signal::LookElsewhere,
        bits,
        added: bits - price(before, evidence[before].before),
        level: MicroBits::ZERO,
        pattern: crate::Pattern::AsUsual,
        observed: looks,
        expected: 1.0,
        low: 0.0,
        high: 0.0,
        since: call.ts,
        window_ms: 86_400_000,
        history: History { prior: 1_000, ..History::default() },
        quiet_at: looks,
    });
    Score {
        level: parts.iter().map(|p| p.bits).sum(),
        added: parts.iter().map(|p| p.added).sum(),
        families,
        parts,
    }
}
