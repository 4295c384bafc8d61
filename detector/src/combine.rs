//! Several signals, one score in bits, whose parts sum to it exactly.

use std::f64::consts::LOG2_10;

use arrayvec::ArrayVec;

use crate::signal::{Alarm, Evidence, Story, Strength};
use crate::{Budgets, History, MicroBits, PARTS_MAX, Part, Signal, Timestamp};

/// Each signal family's share of the false-alarm budget. The study (volume-timing §5) gives 0.4, 0.2 and 0.4 and knows no context;
/// endpoints, whose tails are not widened where a fleet exceeds its budget, have most.
pub(crate) const SHARES: [Share; FAMILIES] = [
    Share { signal: Signal::Volume, of_budget: 0.3, log2: -1.736_965_594_166_206, has_tail: true },
    Share { signal: Signal::Timing, of_budget: 0.12, log2: -3.058_893_689_053_568_3, has_tail: true },
    Share { signal: Signal::Endpoint, of_budget: 0.4, log2: -1.321_928_094_887_362_3, has_tail: false },
    Share { signal: Signal::Context, of_budget: 0.18, log2: -2.473_931_188_332_412, has_tail: true },
];
pub(crate) const FAMILIES: usize = 4;
/// Shares of endpoint's groups in its own: calls one by one, sessions, and the drift of an agent's sessions, which a factor of ten in what
/// it may say for nothing costs a session more.
pub(crate) const CALLS_SHARE: GroupShare = GroupShare { of_family: 0.4, log2: -1.321_928_094_887_362_2 };
pub(crate) const SESSION_SHARE: GroupShare = GroupShare { of_family: 0.5, log2: -1.0 };
pub(crate) const DRIFT_SHARE: GroupShare = GroupShare { of_family: 0.1, log2: -LOG2_10 };
/// Shares of volume's groups, of an agent that is in a line, in its own: its own calls, all calls of its line, and how many
/// sub-agents that has. Of all others their own calls have all of it.
pub(crate) const OWN_SHARE: GroupShare = GroupShare { of_family: 0.7, log2: -0.514_573_172_829_758_3 };
pub(crate) const LINE_SHARE: GroupShare = GroupShare { of_family: 0.2, log2: -2.321_928_094_887_362 };
pub(crate) const CHILDREN_SHARE: GroupShare = GroupShare { of_family: 0.1, log2: -LOG2_10 };
/// Their places in all that goes by family.
pub(crate) const VOLUME: usize = 0;
pub(crate) const TIMING: usize = 1;
pub(crate) const ENDPOINT: usize = 2;
pub(crate) const CONTEXT: usize = 3;

/// A group's part in what its family may say for nothing, and its logarithm to base 2.
#[derive(Clone, Copy)]
pub(crate) struct GroupShare {
    of_family: f64,
    pub(crate) log2: f64,
}

/// A family's part in what an operator accepts.
pub(crate) struct Share {
    pub(crate) signal: Signal,
    pub(crate) of_budget: f64,
    log2: f64,
    /// Whether its levels come from the tail of an agent's own excursions, which can be widened.
    pub(crate) has_tail: bool,
}

impl Signal {
    /// The part of what an operator accepts for nothing that this signal may take when it speaks alone.
    pub fn share(self) -> f64 {
        SHARES.iter().filter(|share| share.signal == self).map(|share| share.of_budget).sum()
    }

    /// The same of what volume says of the line of an agent: its calls, and how many sub-agents it has.
    pub fn share_of_line() -> f64 {
        SHARES[VOLUME].of_budget * (LINE_SHARE.of_family + CHILDREN_SHARE.of_family)
    }
}

/// The operator's budgets as the families read them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thresholds {
    /// The level over which an agent is watched.
    pub(crate) watch: MicroBits,
    /// The level over which a person is asked.
    pub(crate) step_up: MicroBits,
    /// Where a family alone asks a person.
    pub(crate) volume: Alarm,
    /// The same for the line of an agent: its calls, and its sub-agents.
    pub(crate) line: Alarm,
    pub(crate) children: Alarm,
    pub(crate) timing: Alarm,
    /// The same for endpoint's groups: calls, a session and, in days between two, an agent's drift.
    pub(crate) calls: Alarm,
    pub(crate) session: Alarm,
    pub(crate) drift_days: f64,
    pub(crate) context: Alarm,
}

impl From<Budgets> for Thresholds {
    fn from(budgets: Budgets) -> Self {
        let of_endpoint =
            |group: GroupShare| budgets.step_up_days() / (SHARES[ENDPOINT].of_budget * group.of_family);
        let alarm = |family: usize| Alarm::once_in(budgets.step_up_days() / SHARES[family].of_budget);
        let of_volume = |group: GroupShare| {
            Alarm::once_in(budgets.step_up_days() / (SHARES[VOLUME].of_budget * group.of_family))
        };
        Self {
            watch: budgets.watch(),
            step_up: budgets.step_up(),
            volume: alarm(VOLUME),
            line: of_volume(LINE_SHARE),
            children: of_volume(CHILDREN_SHARE),
            timing: alarm(TIMING),
            calls: Alarm::once_in(of_endpoint(CALLS_SHARE)),
            session: Alarm::once_in(of_endpoint(SESSION_SHARE)),
            drift_days: of_endpoint(DRIFT_SHARE),
            context: alarm(CONTEXT),
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Budgets::default().into()
    }
}

/// The combined score of one call. Of three quarters of a KiB, so that it is made where it stays until the verdict is.
#[derive(Default)]
pub(crate) struct Score {
    pub(crate) level: MicroBits,
    pub(crate) added: MicroBits,
    pub(crate) parts: ArrayVec<Part, PARTS_MAX>,
    pub(crate) families: u8,
    /// By how much the call made each family's own level higher.
    pub(crate) rose: [MicroBits; FAMILIES],
    /// The family that tells the story,
    pub(crate) winner: usize,
    /// and the part of the level, negative as a rule, that its looking costs.
    pub(crate) price: MicroBits,
}

/// A family's own level: its strength at its share of the budget.
pub(crate) fn level(family: usize, strength: Strength) -> f64 {
    strength.level() + SHARES[family].log2
}

/// The strength, −log2 of recurrences a day, at which a family alone reaches `level`.
pub(crate) fn allowed(family: usize, level: MicroBits) -> f64 {
    level.as_bits() - SHARES[family].log2
}

/// The family that would recur least often wins and tells the story; the others stand beside it with no bits. Context may have several
/// `stories`, each with its share of what context says; the first takes what rounding leaves.
pub(crate) fn combine(
    evidence: &[Evidence; FAMILIES],
    stories: &[(Story, f64)],
    ts: Timestamp,
    watch: MicroBits,
    score: &mut Score,
) {
    let levels = |strength: fn(&Evidence) -> Strength| -> [f64; FAMILIES] {
        std::array::from_fn(|f| level(f, strength(&evidence[f])))
    };
    let winner = |levels: &[f64; FAMILIES]| {
        (1..FAMILIES).fold(0, |best, f| if levels[f] > levels[best] { f } else { best })
    };
    let (levels_now, levels_before) = (levels(|e| e.now), levels(|e| e.before));
    let (now, before) = (winner(&levels_now), winner(&levels_before));
    let price = |family: usize, strength: Strength| {
        MicroBits::from_bits(level(family, Strength { bits: 0.0, ..strength }))
    };
    let share = |is_winner: bool, bits: f64| {
        if is_winner { MicroBits::from_bits(bits) } else { MicroBits::ZERO }
    };

    let alone = levels_now.map(MicroBits::from_bits);
    // What the line of an agent does is no witness of what the agent did, and where it is the level there is no second one.
    let is_of_line = evidence[VOLUME].story.pattern.is_of_line();
    let over = |f: usize| alone[f] >= watch && !(f == VOLUME && is_of_line);
    let families =
        u8::from(over(VOLUME) || over(TIMING)) + u8::from(over(ENDPOINT)) + u8::from(over(CONTEXT));
    let families = if is_of_line && now == VOLUME { families.min(1) } else { families };
    let parts = &mut score.parts;
    parts.clear();
    for (f, e) in evidence.iter().enumerate() {
        let bits = share(f == now, e.now.bits);
        let part = part(SHARES[f].signal, alone[f], e.story);
        parts.push(Part { bits, added: bits - share(f == before, e.before.bits), ..part });
        if f == CONTEXT {
            let first = parts.len() - 1;
            for (story, of_it) in stories.iter().skip(1) {
                let bits = share(f == now, e.now.bits * of_it);
                parts.push(Part { bits, added: bits, ..self::part(SHARES[f].signal, alone[f], *story) });
                parts[first].bits = parts[first].bits - bits;
                parts[first].added = parts[first].added - bits;
            }
        }
    }
    let looks = libm::exp2(evidence[now].now.looks) / SHARES[now].of_budget;
    let price_now = price(now, evidence[now].now);
    parts.push(Part {
        signal: Signal::LookElsewhere,
        bits: price_now,
        added: price_now - price(before, evidence[before].before),
        level: MicroBits::ZERO,
        pattern: crate::Pattern::AsUsual,
        observed: looks,
        expected: 1.0,
        low: 0.0,
        high: 0.0,
        since: ts,
        window_ms: 86_400_000,
        history: History { prior: 1_000, ..History::default() },
        quiet_at: looks,
    });
    score.level = parts.iter().map(|p| p.bits).sum();
    score.added = parts.iter().map(|p| p.added).sum();
    score.rose = std::array::from_fn(|f| MicroBits::from_bits(levels_now[f] - levels_before[f]));
    (score.families, score.winner, score.price) = (families, now, price_now);
}

/// A story as a part of no bits yet.
fn part(signal: Signal, level: MicroBits, story: Story) -> Part {
    Part {
        signal,
        bits: MicroBits::ZERO,
        added: MicroBits::ZERO,
        level,
        pattern: story.pattern,
        observed: story.observed,
        expected: story.expected,
        low: story.low,
        high: story.high,
        since: story.since,
        window_ms: story.window_ms,
        history: story.history,
        quiet_at: story.observed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_a_whole_and_their_logarithms_theirs() {
        assert!((SHARES.iter().map(|s| s.of_budget).sum::<f64>() - 1.0).abs() < 1e-15);
        assert!(SHARES.iter().all(|s| (s.log2 - libm::log2(s.of_budget)).abs() < 1e-15));
        let of_endpoint = [CALLS_SHARE, SESSION_SHARE, DRIFT_SHARE];
        for groups in [of_endpoint, [OWN_SHARE, LINE_SHARE, CHILDREN_SHARE]] {
            assert!((groups.iter().map(|g| g.of_family).sum::<f64>() - 1.0).abs() < 1e-15);
            assert!(groups.iter().all(|g| g.log2.to_bits() == libm::log2(g.of_family).to_bits()));
        }
        assert_eq!(Strength::CALM, Strength::new(0.0, 1_440.0));
    }

    #[test]
    fn two_that_read_the_same_instants_are_one_witness() {
        let ts = Timestamp::from_millis(0);
        let story = crate::signal::Story {
            pattern: crate::Pattern::AsUsual,
            observed: 1.0,
            expected: 1.0,
            low: 0.0,
            high: 0.0,
            window_ms: 0,
            since: ts,
            history: History { prior: 1_000, ..History::default() },
        };
        let witnesses = |who: &[usize]| {
            let evidence = std::array::from_fn(|f| {
                let now = if who.contains(&f) { Strength::new(20.0, 1.0) } else { Strength::CALM };
                Evidence { before: now, now, story }
            });
            let mut score = Score::default();
            combine(&evidence, &[], ts, Budgets::default().watch(), &mut score);
            score.families
        };
        let all = [VOLUME, TIMING, ENDPOINT, CONTEXT];
        assert_eq!([&[][..], &all[..1], &all[..2], &all[1..3], &all].map(witnesses), [0, 1, 1, 2, 3]);
    }
}
