//! Timing: are these the gaps that this agent leaves between its calls?
//!
//! The law of its log-gaps given whether the gap before was short or long, against named alternatives, each a CUSUM of
//! its own; for agents that keep a period, the phase as well; the same calibrated tail as volume's (volume-timing study
//! §2). What wanders slowly, like the pace of a model behind an agent, is taken out first.

mod gaps;
mod pace;
mod phase;
#[cfg(test)]
mod tests;
mod tide;

use std::f64::consts::LN_2;
use std::sync::LazyLock;

use libm::{exp, floor, log, log2};
use serde::{Deserialize, Serialize};

use self::gaps::{BINS, Gaps, PEERS_EVENTS, PeerGaps, bin_at};
use self::pace::Pace;
use self::phase::Phase;
use self::tide::Tide;
use super::tail::{Group, PeerTail, Rule, Tail};
use super::{Alarm, Story, Strength, history};
use crate::Timestamp;
use crate::ln::ln;
use crate::stored::{Half, Stored};
use crate::verdict::Pattern;

/// Excursions begin at this evidence, nats (study §2's prototype: u = 4).
const THRESHOLD: f64 = 4.0;
const E_THRESHOLD: f64 = 54.598_150_033_144_24;
/// Two groups: the histogram's alternatives, and the phase's.
const GROUPS: usize = 2;
/// Alternatives of the histogram: the fast learner, even, human-paced, machine-gun.
const ALTERNATIVES: usize = 4;
/// A human's gaps: log-normal with median 8 s and sd 1.7 octaves; a machine-gun's: under 256 ms (study §2).
const HUMAN_OCTAVES: f64 = 13.0;
const HUMAN_SD_OCTAVES: f64 = 1.7;
const GUN_BINS: usize = 8;
/// Share of an alternative's own shape, and of what is even beside it.
const SHAPE_SHARE: f64 = 0.9;
/// Evidence fades with this memory in events: a takeover shows within a hundred calls, while what adds up by a hundredth of
/// a nat a call for hours is a misfit of the law, not an intruder. (With 300, nine false step-ups on the recorded agents of
/// `fixtures/agent-traces` in place of four, for a tenth of the takeovers by a person.)
const SUM_EVENTS: f64 = 100.0;
/// Over this share of the alarm's evidence nothing is learned (study §2).
const LEARN_BELOW: f64 = 0.6;
/// Over this evidence, in nats, the pace earns nothing: what follows a change at once is no merit.
const EARN_BELOW: f64 = 2.0;
/// Gaps of one agent that teach its peers.
const TEACHES_MAX: u32 = 1_000;
/// How fast the line between short and long gaps follows, in bins (study: 0.02). It comes to rest on a bin, so that a
/// gap as long as most is a long one: sixty-fourths meet a bin exactly, where fiftieths miss it by a rounding.
const MEDIAN_STEP: f64 = 1.0 / 64.0;
/// What is known of an agent's gaps grows with its calls, so its tails settle with them.
const SETTLING_EVENTS: f64 = 1_000.0;
/// An agent's first hour, in days: a few calls are no rate.
const HOUR_DAYS: f64 = 1.0 / 24.0;
const GAP_MIN_S: f64 = 1e-3;
/// Without a verdict learning rests this long after an alarm, as for volume.
const REST_S: u32 = 86_400;

/// What the fleet says of an agent's gaps before it has left any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TimingPrior {
    gaps: PeerGaps,
    tails: [PeerTail; GROUPS],
}

impl TimingPrior {
    /// Takes up what others have learned, and leaves them nothing.
    pub(crate) fn take_up(&mut self, other: &mut Self) {
        let Self { gaps, mut tails } = std::mem::take(other);
        self.gaps.add(&gaps);
        self.tails.iter_mut().zip(&mut tails).for_each(|(own, tail)| own.take_up(tail));
    }
}

/// What one agent is read against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) peers: &'a TimingPrior,
    pub(crate) has_peers: bool,
    /// How much wider than by its excursions the tails are read, ≥ 1 (`monitor.rs`).
    pub(crate) widening: f64,
    /// How far the volume expects the rate of now to be above the overall one.
    pub(crate) rate_octaves: f64,
    /// Relative variance of that rate.
    pub(crate) rate_variance: f64,
    /// Where this family's learning rests.
    pub(crate) alarm: Alarm,
}

/// One agent's gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, B: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, B: Stored + Deserialize<'de>"
))]
pub(crate) struct Timing<S = f32, B = Half> {
    born: Timestamp,
    last: Timestamp,
    events: u32,
    /// The bin of the gap before, and the line between short and long.
    before: u8,
    median: S,
    sums: [S; ALTERNATIVES],
    /// When each sum last was zero: seconds from birth.
    since: [u32; ALTERNATIVES],
    /// Since an alarm nothing is learned until a verdict, or until then, in seconds from birth; 0 while learning.
    rest_until: u32,
    tails: [Tail<S>; GROUPS],
    phase: Phase<S>,
    tide: Tide<S>,
    pace: Pace<S, B>,
    gaps: Gaps<S, B>,
}

/// What the timing says after a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) before: Strength,
    pub(crate) now: Strength,
    /// Which alternative wins; none while nothing stands out.
    pub(crate) pattern: Pattern,
    /// The gap that was seen, in seconds, and the one that is usual.
    gap_s: f64,
    usual_s: f64,
    since: Timestamp,
}

/// Chance of a bin for a human, for a machine-gun and where all are alike, as logarithms.
static NAMED: LazyLock<[[f64; BINS]; 3]> = LazyLock::new(|| {
    let even = (1.0 - SHAPE_SHARE) / BINS as f64;
    let human = |bin: usize| {
        let z = (bin as f64 + 0.5 - HUMAN_OCTAVES) / HUMAN_SD_OCTAVES;
        SHAPE_SHARE * exp(-z * z / 2.0) / (HUMAN_SD_OCTAVES * 2.506_628_274_631) + even
    };
    let gun = |bin: usize| {
        let (inside, outside) =
            (SHAPE_SHARE / GUN_BINS as f64, (1.0 - SHAPE_SHARE) / (BINS - GUN_BINS) as f64);
        if bin < GUN_BINS { inside } else { outside }
    };
    [std::array::from_fn(|b| log(human(b))), std::array::from_fn(|b| log(gun(b))), [-log(BINS as f64); BINS]]
});

impl<S: Stored, B: Stored> Timing<S, B> {
    /// An agent first seen at `ts`.
    pub(crate) fn new(ts: Timestamp, peers: &TimingPrior) -> Self {
        Self {
            born: ts,
            last: ts,
            events: 0,
            before: 10,
            median: S::default(),
            sums: [S::default(); ALTERNATIVES],
            since: [0; ALTERNATIVES],
            rest_until: 0,
            tails: [Tail::default(); GROUPS],
            phase: Phase::new(),
            tide: Tide::new(),
            pace: Pace::new(),
            gaps: Gaps::new(&peers.gaps),
        }
    }

    /// When the agent was first seen.
    pub(crate) fn born(&self) -> Timestamp {
        self.born
    }

    /// A number of every cache line that a call may read; see [`crate::profile::Profile::fetch`].
    pub(crate) fn fetch(&self) -> u64 {
        u64::from(self.events) ^ (self.phase.period_s() + self.gaps.fetch() + self.pace.fetch()).to_bits()
    }

    /// One call at `ts`, not before the last one.
    pub(crate) fn count(&mut self, ts: Timestamp, ctx: Context<'_>, tally: &mut TimingPrior) -> Reading {
        self.events = self.events.saturating_add(1);
        if self.events == 1 {
            return self.stand(ctx);
        }
        let gap_s = (ts.since(self.last).as_micros() as f64 / 1e6).max(GAP_MIN_S);
        self.last = ts;
        if self.rest_until > 0 && self.age_s() >= self.rest_until {
            self.accept(ctx);
        }
        let octaves = log2(gap_s * 1e3);
        let state = usize::from(f64::from(self.before) >= self.median.get());
        // The agent's own law speaks of gaps as they would be at its overall rate, named alternatives of gaps as they are.
        let even = octaves - self.tide.octaves(ctx.rate_octaves);
        let bin = bin_of(even);
        let before = self.strength(ctx);
        let (without, paced) = (self.gaps.known(state, bin), self.pace.predict(even));
        let known = self.pace.mixed(without, &paced, ctx.rate_variance);
        let [known, lately, gained] = ln([known, self.gaps.lately(state, bin), paced.chance / without]);
        self.weigh(lately, bin_of(octaves), known);
        let beat = self.phase.take(gap_s);
        if self.phase.is_periodic() {
            self.phase.weigh(beat);
        } else {
            // Of an agent without a period nothing has been lost; once it is held to one, the count begins at nothing.
            self.phase.rest();
        }
        let suspect = self.look(ctx, tally);
        let (strength, group) = self.strength(ctx);
        if self.rest_until == 0 && strength.level() >= ctx.alarm.level {
            self.rest_until = self.age_s().saturating_add(REST_S);
        }
        let suspect = suspect || self.rest_until > 0;
        let reading = Reading {
            before: before.0,
            now: strength,
            pattern: self.pattern(group),
            gap_s,
            usual_s: self.usual_s(group, ctx),
            since: self.since(group),
        };
        self.pace.follow(&paced);
        self.learn(state, bin, suspect, tally);
        if !suspect {
            self.tide.learn(octaves, ctx.rate_octaves, self.events);
            self.pace.learn(&paced, |j| dither(self.events, j));
            if self.evidence(0).is_none_or(|e| e <= EARN_BELOW) {
                self.pace.earn(gained);
            }
        }
        reading
    }

    /// One call at `ts` after a time of which nothing is known: its gap says nothing.
    pub(crate) fn resume(&mut self, ts: Timestamp, ctx: Context<'_>) -> Reading {
        self.last = ts;
        self.stand(ctx)
    }

    /// How many calls it rests on, and the usual gap at the usual rate, seconds.
    pub(crate) fn usual(&self) -> (u32, f64) {
        (self.events, libm::exp2(self.tide.usual_octaves(0.0)) / 1e3)
    }

    /// Nothing is known of the time up to `ts`.
    pub(crate) fn skip_to(&mut self, ts: Timestamp) {
        self.last = self.last.max(ts);
    }

    /// What there is to say without another gap.
    pub(crate) fn stand(&self, ctx: Context<'_>) -> Reading {
        let (now, group) = self.strength(ctx);
        Reading {
            before: now,
            now,
            pattern: self.pattern(group),
            gap_s: 0.0,
            usual_s: self.usual_s(group, ctx),
            since: self.since(group),
        }
    }

    /// Adds what the gap says for each alternative: logarithms of its chance for one who has just learned what happens
    /// now, for the named ones in its bin as it is, and for the agent as it is known.
    fn weigh(&mut self, lately: f64, as_is: usize, known: f64) {
        let [human, gun, even] = &*NAMED;
        let chances = [lately, even[as_is], human[as_is], gun[as_is]];
        let age_s = self.age_s();
        for (i, chance) in chances.into_iter().enumerate() {
            if self.sums[i].get() <= 0.0 {
                self.since[i] = age_s;
            }
            self.sums[i].update(|s| (s * (1.0 - 1.0 / SUM_EVENTS) + chance - known).max(0.0));
        }
    }

    /// Shows both groups their evidence; whether it is so high that nothing may be learned.
    fn look(&mut self, ctx: Context<'_>, tally: &mut TimingPrior) -> bool {
        let mut suspect = false;
        for g in 0..GROUPS {
            let Some(evidence) = self.evidence(g) else { continue };
            let group = self.group();
            self.tails[g].raise(evidence, group);
            if self.tails[g].is_out() {
                let alarm = self.rule(g, ctx).evidence_once_in(ctx.alarm.days);
                suspect |= g == 0 && evidence > LEARN_BELOW * alarm;
                if self.rest_until == 0 && self.tails[g].ends(evidence, group) {
                    self.tails[g].end_among(&mut tally.tails[g], group, alarm);
                }
            }
        }
        suspect
    }

    fn learn(&mut self, state: usize, bin: usize, suspect: bool, tally: &mut TimingPrior) {
        self.gaps.learn(state, bin, suspect, dither(self.events, u32::MAX));
        if !suspect && self.events <= TEACHES_MAX {
            tally.gaps.learn(state, bin);
        }
        let b = bin as f64;
        self.median.update(|m| {
            m + MEDIAN_STEP
                * if b > m {
                    1.0
                } else if b < m {
                    -1.0
                } else {
                    0.0
                }
        });
        self.before = bin as u8;
    }

    /// Evidence of a group in nats; none where the group does not speak of this agent.
    fn evidence(&self, g: usize) -> Option<f64> {
        if g == 0 {
            let most = self.sums.iter().map(|s| s.get()).fold(0.0, f64::max);
            return Some(most - 2.0 * LN_2);
        }
        self.phase.is_periodic().then(|| self.phase.evidence().0)
    }

    fn group(&self) -> Group {
        let never_days = E_THRESHOLD / self.calls_per_day();
        Group { threshold: THRESHOLD, never_days, groups: GROUPS as f64 }
    }

    /// Calls a day that this agent has made so far, ≥ 1; its first hour counts as a whole one.
    pub(crate) fn calls_per_day(&self) -> f64 {
        (f64::from(self.events) / (self.age_days() + HOUR_DAYS)).max(1.0)
    }

    fn age_s(&self) -> u32 {
        u32::try_from(self.last.since(self.born).as_secs()).unwrap_or(u32::MAX)
    }

    fn age_days(&self) -> f64 {
        self.last.since(self.born).as_secs_f64() / 86_400.0
    }

    fn rule(&self, g: usize, ctx: Context<'_>) -> Rule {
        let (young, peers) = (exp(-f64::from(self.events) / SETTLING_EVENTS), &ctx.peers.tails[g]);
        self.tails[g].rule(self.group(), self.age_days(), young, peers).widened(ctx.widening)
    }

    /// The strongest evidence now and whose it is.
    pub(crate) fn strength(&self, ctx: Context<'_>) -> (Strength, Option<usize>) {
        let mut strongest = (Strength::CALM, None);
        for g in 0..GROUPS {
            if let (true, Some(evidence)) = (self.tails[g].is_out(), self.evidence(g)) {
                let strength = self.rule(g, ctx).strength(evidence);
                if strength.level() > strongest.0.level() {
                    strongest = (strength, Some(g));
                }
            }
        }
        strongest
    }

    fn winner(&self) -> usize {
        let sums = self.sums.map(Stored::get);
        (1..ALTERNATIVES).fold(0, |best, i| if sums[i] > sums[best] { i } else { best })
    }

    fn pattern(&self, group: Option<usize>) -> Pattern {
        match group {
            None => Pattern::AsUsual,
            Some(0) => [Pattern::OtherPace, Pattern::Irregular, Pattern::HumanPaced, Pattern::MachineGun]
                [self.winner()],
            Some(_) => [Pattern::OffBeat, Pattern::TooRegular][self.phase.evidence().1],
        }
    }

    fn since(&self, group: Option<usize>) -> Timestamp {
        match group {
            Some(0) => self.born + std::time::Duration::from_secs(u64::from(self.since[self.winner()])),
            _ => self.last,
        }
    }

    /// The middle gap, or the period where it is held to one.
    fn usual_s(&self, group: Option<usize>, ctx: Context<'_>) -> f64 {
        match group {
            Some(1) => self.phase.period_s(),
            _ => libm::exp2(self.tide.usual_octaves(ctx.rate_octaves)) / 1e3,
        }
    }

    /// The numbers behind the reading.
    pub(crate) fn story(&self, reading: &Reading, ctx: Context<'_>) -> Story {
        let own = f64::from(self.events);
        Story {
            pattern: reading.pattern,
            observed: reading.gap_s,
            expected: reading.usual_s,
            low: 0.0,
            high: 0.0,
            window_ms: self.last.since(reading.since).as_millis() as u64,
            since: reading.since,
            history: history(own, own / (own + PEERS_EVENTS), ctx.has_peers),
        }
    }

    /// The present gaps are normal, by a person's word.
    pub(crate) fn accept(&mut self, ctx: Context<'_>) {
        for g in 0..GROUPS {
            if self.tails[g].is_out() {
                let alarm = self.rule(g, ctx).evidence_once_in(ctx.alarm.days);
                self.tails[g].end(self.group(), alarm);
                if g == 0 {
                    self.gaps.accept();
                }
            }
        }
        self.drop_evidence();
    }

    fn drop_evidence(&mut self) {
        self.tails.iter_mut().for_each(Tail::forget);
        self.sums = [S::default(); ALTERNATIVES];
        self.phase.rest();
        self.rest_until = 0;
    }

    /// The agent was changed on purpose. Where its gaps stand out, or its rate is another, they are what they were lately and
    /// what peers' are, at a pace and a period yet to be seen.
    pub(crate) fn adopt(&mut self, has_another_rate: bool, peers: &TimingPrior) {
        if has_another_rate || self.stands_since().is_some() {
            let octaves = self.gaps.octaves_lately();
            self.gaps.adopt(&peers.gaps);
            (self.pace, self.phase, self.tide) = (Pace::new(), Phase::new(), Tide::at(octaves));
            self.median = S::put(octaves);
        }
        self.drop_evidence();
    }

    /// Since when something stands out, where it does.
    pub(crate) fn stands_since(&self) -> Option<Timestamp> {
        let out = (0..GROUPS).filter(|g| self.tails[*g].is_out()).map(|g| self.since(Some(g)));
        let rested = self.rest_until.checked_sub(REST_S).filter(|_| self.rest_until > 0);
        let rested = rested.map(|s| self.born + std::time::Duration::from_secs(u64::from(s)));
        out.chain(rested).min()
    }

    /// The gaps that stood out were not the agent's.
    pub(crate) fn disown(&mut self) {
        self.drop_evidence();
    }
}

/// A number between 0 and 1 that is as good as drawn by chance and the same in every run: the golden ratio's multiples
/// (Weyl), scrambled.
fn dither(event: u32, place: u32) -> f64 {
    let mixed = (u64::from(event) << 32 | u64::from(place)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 40) as f64 / (1_u64 << 24) as f64
}

fn bin_of(octaves: f64) -> usize {
    bin_at(floor(octaves) as i32)
}
