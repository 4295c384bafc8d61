//! Is the promise kept? What a peer group's agents raised, against the budget they share.
//!
//! A level is a promise: at most once in so many days is an agent over it for nothing. Where the arithmetic is wrong about
//! a group, that shows in the whole group's alarms long before in one agent's, so they are counted, and while a Poisson
//! test says that the budget is exceeded, the tails of the group are read as wider than the agents' own excursions say
//! (volume-timing study §7, "Fleet monitor").

mod health;
pub(crate) mod poisson;
#[cfg(test)]
mod tests;

use std::time::Duration;

use libm::{exp, exp2, log};
use serde::{Deserialize, Serialize};

pub use self::health::{FamilyHealth, FleetHealth, Grade, PeerGroup};
use crate::combine::{FAMILIES, SHARES, Score, Thresholds};
use crate::{MicroBits, Timestamp};

/// What was counted fades with this mean life: half of it counts after 21 days, and a steady group is judged by 30 days
/// of each agent.
const MEMORY_DAYS: f64 = 30.0;
/// After an alarm an agent's grade rests. A level that is still over its budget then alarms again, as in
/// `tocsin bench detection`.
const REST: Duration = Duration::from_hours(24);
/// Nobody looks for an agent that has not called for longer: of a longer pause only so much was lived under the budget.
const DORMANT_AFTER: Duration = Duration::from_hours(7 * 24);
/// The budget is exceeded when chance brings so many alarms less often than the first; until it does more often than the
/// second, which is when no more are raised than are expected.
const EXCEEDED_UNDER: f64 = 0.01;
const KEPT_FROM: f64 = 0.5;
/// Fewer alarms are an anecdote, however few are expected of a group that is young or small.
const ALARMS_MIN: f64 = 3.0;
/// However much is raised: an alarm of twice the evidence is late, not lost.
const WIDENING_MAX: f64 = 2.0;
/// How fast it widens and narrows. Who wants a tail widened has to raise alarms for weeks, and is told of while at it.
const WIDENS_PER_DAY: f64 = 0.05;
const NARROWS_PER_DAY: f64 = 0.005;

/// What an agent has raised, by grade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Heard {
    resting_until: [Timestamp; GRADES],
    /// Alarms, faded as the group's are, up to the last one.
    alarms: [f32; GRADES],
    /// How many of them came one after the other, on which nobody has ruled yet, and whose evidence the last was.
    run: [u8; GRADES],
    family: [u8; GRADES],
}

impl Heard {
    /// A person ruled that what was raised was raised for nothing: it counts.
    pub(crate) fn stands(&mut self) {
        self.run = [0; GRADES];
    }
}

/// How much wider than their own excursions say the tails of a group's agents are read, by family; 1 changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Widening([f64; FAMILIES]);

impl Default for Widening {
    fn default() -> Self {
        Self([1.0; FAMILIES])
    }
}

impl Widening {
    /// Of one family's.
    pub(crate) fn of(self, family: usize) -> f64 {
        self.0[family]
    }
}

/// What one peer group has raised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Monitor {
    closed: Option<Timestamp>,
    /// Agent-days since then, and all of them, faded.
    days: f64,
    agent_days: f64,
    /// The same days, each as often as the family's tails were widened on it.
    widened_days: [f64; FAMILIES],
    widening: Widening,
    books: [Book; GRADES],
}

const GRADES: usize = Grade::ALL.len();

/// Alarms of one grade, and what is allowed. All of it fades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Book {
    /// By the family whose evidence it was.
    alarms: [f64; FAMILIES],
    /// How many nats of evidence the budget asked of a tail, summed over the alarms.
    asked: [f64; FAMILIES],
    /// Of the agent that raised most.
    most: f64,
    expected: f64,
    /// Since when the budget has been exceeded, and since when each family's share of it.
    exceeded_since: Option<Timestamp>,
    families_since: [Option<Timestamp>; FAMILIES],
}

impl Monitor {
    /// An agent has lived on for so long since its last call.
    pub(crate) fn live(&mut self, since_last: Duration) {
        self.days += days(since_last.min(DORMANT_AFTER));
    }

    /// Hears an agent's level. What a rule says is no level and is not heard.
    pub(crate) fn hear(&mut self, agent: &mut Heard, ts: Timestamp, score: &Score, thresholds: &Thresholds) {
        for (grade, threshold) in thresholds.by_grade().into_iter().enumerate() {
            let resting_until = &mut agent.resting_until[grade];
            if score.level < threshold || ts < *resting_until {
                continue;
            }
            let (paused, run) = (ts.since(*resting_until), &mut agent.run[grade]);
            *run = if paused < REST { run.saturating_add(1) } else { 1 };
            agent.family[grade] = score.winner as u8;
            let since_last = paused + REST;
            *resting_until = ts + REST;
            let alarms = f64::from(agent.alarms[grade]) * fade(days(since_last)) + 1.0;
            agent.alarms[grade] = alarms as f32;
            let book = &mut self.books[grade];
            book.most = book.most.max(alarms);
            book.alarms[score.winner] += 1.0;
            book.asked[score.winner] += (threshold - score.price).as_bits() * std::f64::consts::LN_2;
        }
    }

    /// A person ruled that there was something: what the agent has raised about it, alarm after alarm, says nothing of how often
    /// levels are wrong and is taken back.
    pub(crate) fn take_back(&mut self, agent: &mut Heard) {
        for grade in 0..GRADES {
            let (last, family) = (agent.resting_until[grade], usize::from(agent.family[grade]));
            for i in 1..=u32::from(std::mem::take(&mut agent.run[grade])) {
                let passed = self.closed.map_or(0.0, |closed| days(closed.since(last - REST * i)));
                self.books[grade].take_back(family, fade(passed));
                agent.alarms[grade] = (agent.alarms[grade] - fade(f64::from(i - 1)) as f32).max(0.0);
            }
        }
    }

    /// Closes the books of the time up to `at`, and gives by how much tails are read as wider from now on.
    pub(crate) fn close(&mut self, at: Timestamp, thresholds: &Thresholds) -> Widening {
        let passed = days(at.since(self.closed.unwrap_or(at)));
        self.closed = Some(at);
        let (fade, lived) = (fade(passed), std::mem::take(&mut self.days));
        self.agent_days = self.agent_days * fade + lived;
        for (sum, widening) in self.widened_days.iter_mut().zip(self.widening.0) {
            *sum = *sum * fade + lived * widening;
        }
        for (book, threshold) in self.books.iter_mut().zip(thresholds.by_grade()) {
            book.fade(fade);
            book.expected += lived / days_between(threshold);
            book.judge(at);
        }
        for family in 0..FAMILIES {
            let under = self.widened_days[family] / self.agent_days.max(f64::MIN_POSITIVE);
            let wanted = self.books.iter().map(|book| book.widening(family, under)).fold(1.0, f64::max);
            let now = &mut self.widening.0[family];
            *now = if wanted > *now {
                // After a pause of weeks as after a day.
                wanted.min(*now + WIDENS_PER_DAY * passed.min(1.0))
            } else {
                wanted.max(*now - NARROWS_PER_DAY * passed)
            };
        }
        self.widening
    }
}

impl Book {
    fn fade(&mut self, fade: f64) {
        let sums = self.alarms.iter_mut().chain(&mut self.asked);
        sums.chain([&mut self.most, &mut self.expected]).for_each(|sum| *sum *= fade);
    }

    /// One alarm of a family, of which so much is left.
    fn take_back(&mut self, family: usize, left: f64) {
        let before = self.alarms[family];
        self.alarms[family] = (before - left).max(0.0);
        if before > 0.0 {
            self.asked[family] *= self.alarms[family] / before;
        }
        // Perhaps another agent's were as many; that none speaks for all holds either way.
        self.most = self.most.min(self.alarms.iter().sum());
    }

    /// Alarms of all agents but the one that raised most: no agent, whatever is wrong with it, speaks for its group.
    fn of_many(&self, alarms: f64) -> f64 {
        (alarms - self.most).max(0.0)
    }

    /// How likely chance alone brings at least so many.
    ///
    /// Faded sums are taken for Poisson numbers of their mean. Their variance is smaller (of a steady group's, half the
    /// mean), so the test says "exceeded" less often than it claims to; which pays for its being asked every hour.
    fn p_value(&self) -> f64 {
        poisson::at_least(self.of_many(self.alarms.iter().sum()), self.expected)
    }

    fn judge(&mut self, at: Timestamp) {
        let alarms = self.of_many(self.alarms.iter().sum());
        self.exceeded_since = exceeded_since(self.exceeded_since, alarms, self.expected, at);
        for family in 0..FAMILIES {
            let (alarms, expected) = (self.of_many(self.alarms[family]), self.expected_of(family));
            let since = &mut self.families_since[family];
            *since = exceeded_since(*since, alarms, expected, at);
        }
    }

    fn expected_of(&self, family: usize) -> f64 {
        self.expected * SHARES[family].of_budget
    }

    /// By how much the family's tails would have to be widened for its alarms to keep its share of the budget, ≥ 1;
    /// 1 unless the budget is exceeded, and by this family.
    ///
    /// Excursions whose heights are exponential with mean σ go past x with chance e^(−x/σ). The budget asks for L nats, and
    /// the alarm stands at an x in proportion to the widening w. Where `ratio` times as many as expected are past it,
    /// x/σ = L − ln ratio where L was meant: x has to grow by σ ln ratio, and w with it to w L/(L − ln ratio). What was
    /// counted was raised under the widenings of its time; w is their mean.
    fn widening(&self, family: usize, w: f64) -> f64 {
        if !SHARES[family].has_tail || self.exceeded_since.and(self.families_since[family]).is_none() {
            return 1.0;
        }
        let ratio = self.of_many(self.alarms[family]) / self.expected_of(family);
        let asked = self.asked[family] / self.alarms[family];
        let left = asked - log(ratio);
        if left * WIDENING_MAX > w * asked { w * asked / left } else { WIDENING_MAX }
    }
}

/// Since when so many alarms have been too many, given since when they were before.
fn exceeded_since(before: Option<Timestamp>, alarms: f64, expected: f64, at: Timestamp) -> Option<Timestamp> {
    let chance = poisson::at_least(alarms, expected);
    match before {
        Some(since) => (chance < KEPT_FROM).then_some(since),
        None => (alarms >= ALARMS_MIN && chance < EXCEEDED_UNDER).then_some(at),
    }
}

/// The days between two false alarms that a threshold stands for.
fn days_between(threshold: MicroBits) -> f64 {
    exp2(threshold.as_bits())
}

fn days(duration: Duration) -> f64 {
    duration.as_secs_f64() / 86_400.0
}

fn fade(days: f64) -> f64 {
    exp(-days / MEMORY_DAYS)
}
