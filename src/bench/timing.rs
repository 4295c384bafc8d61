//! The study of timing, repeated: single agents told by their gaps, 20,000 calls each, taken over after 5,000.

use std::time::Duration;

use detector::{Budgets, Detector, DetectorConfig, Timestamp};
use rand::RngExt;
use serde::Serialize;

use super::chance::{Dice, Purpose, stream};
use super::delay::{Delay, Outcome, Search};
use super::hearing::{Counts, Ear, Grade, Lens, levels};
use super::interval::{Estimate, Spread};
use super::pace::{Gaps, Oracle, Pace, Past, Takeover};
use super::player::{Due, Player, START};
use super::progress::Progress;
use crate::simulate::usual_endpoint;

/// Agents of each kind, and the calls of each.
pub(crate) const AGENTS: usize = 60;
const CALLS: usize = 20_000;
/// Calls before a takeover, and the most it has to be found in.
const CALLS_BEFORE: usize = 5_000;
const CALLS_AFTER: usize = 1_000;
/// Whoever was asked for a step-up answers a day later that all is well.
const ANSWER_AFTER: Duration = Duration::from_hours(24);

/// What one kind of agent showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TimingReport {
    pub(crate) pace: Pace,
    pub(crate) agents: usize,
    pub(crate) calls: u64,
    pub(crate) agent_days: f64,
    pub(crate) false_alarms: Vec<TimingAlarms>,
    pub(crate) delays: Vec<Delay>,
    /// By takeover, where the laws are known.
    pub(crate) oracles: Vec<OracleDelay>,
}

/// Calls after which an [`Oracle`] finds a takeover; a miss counts as never.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OracleDelay {
    pub(crate) attack: &'static str,
    pub(crate) calls: Spread,
}

/// Alarms of one grade through one lens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TimingAlarms {
    pub(crate) lens: Lens,
    pub(crate) grade: Grade,
    /// What may be for nothing through this lens.
    pub(crate) budget_90d: f64,
    pub(crate) count: u64,
    pub(crate) per_90d: Estimate,
}

/// How takeovers of one kind ended: for us, and in how many calls for an oracle.
#[derive(Clone, Debug, Default)]
struct Trials {
    outcomes: Vec<Outcome>,
    oracle: Vec<f64>,
}

/// One agent and the detector that knows it alone.
struct Solo<'a> {
    player: Player<'a>,
    gaps: Gaps,
    dice: Dice,
    now: f64,
}

/// Runs one kind.
pub(crate) fn run(pace: Pace, seed: u64, budgets: Budgets, progress: &Progress) -> TimingReport {
    let mut alarms: Counts = Counts::default();
    let mut trials = vec![Trials::default(); Takeover::ALL.len()];
    let mut days = 0.0;
    for agent in 0..AGENTS {
        let names = [format!("{}-{agent}", pace.name())];
        let (ear, lived) = live(pace, seed, agent, &names, &mut trials, budgets);
        days += lived;
        for (sum, of_agent) in alarms.as_flattened_mut().iter_mut().zip(ear.all.as_flattened()) {
            *sum += of_agent;
        }
        progress.day();
    }
    let row = |lens: Lens, grade: Grade| {
        let count = u64::from(alarms[lens as usize][grade as usize]);
        let per_90d = Estimate::rate(count, days / 90.0);
        TimingAlarms { lens, grade, budget_90d: lens.share() * grade.budget_90d(budgets), count, per_90d }
    };
    let row = &row;
    let rows = Lens::ALL.into_iter().flat_map(|l| Grade::ALL.into_iter().map(move |g| row(l, g)));
    let tried = || Takeover::ALL.iter().map(|t| t.name()).zip(&trials);
    let delays = tried().flat_map(|(attack, t)| Delay::all(attack, Grade::StepUp, &t.outcomes));
    let oracles =
        tried().filter_map(|(attack, t)| Some(OracleDelay { attack, calls: Spread::of(t.oracle.clone())? }));
    TimingReport {
        pace,
        agents: AGENTS,
        calls: (AGENTS * CALLS) as u64,
        agent_days: days,
        false_alarms: rows.collect(),
        delays: delays.collect(),
        oracles: oracles.collect(),
    }
}

/// Plays one agent's life; it is taken over in copies. What was alarmed for nothing, and in how many days.
fn live(
    pace: Pace,
    seed: u64,
    agent: usize,
    names: &[String; 1],
    trials: &mut [Trials],
    budgets: Budgets,
) -> (Ear, f64) {
    let mut dice = stream(seed, pace.name(), agent, Purpose::Agent);
    let gaps = Gaps::new(pace, &mut dice);
    let config = DetectorConfig { budgets, ..DetectorConfig::default() };
    let player = Player::new(Detector::new(config, &[]), names);
    let mut solo = Solo { player, gaps, dice, now: 0.0 };
    let thresholds = Grade::ALL.map(|g| g.threshold(budgets));
    let (mut ear, mut answer_at, mut past) = (Ear::default(), None, Vec::with_capacity(CALLS_BEFORE));
    for n in 0..CALLS {
        let gap = solo.gaps.next_gap(&mut solo.dice);
        let at = solo.pass(gap, &mut |verdict, at| {
            ear.hear(verdict, at, false, thresholds);
        });
        if answer_at.is_some_and(|due| due <= at) {
            answer_at = None;
            solo.player.benign(at, 0);
        }
        let verdict = solo.call(at);
        if let Some(verdict) = &verdict
            && ear.hear(verdict, at, false, thresholds)
        {
            answer_at.get_or_insert(at + ANSWER_AFTER);
        }
        if n < CALLS_BEFORE {
            past.push(gap);
        }
        if n + 1 == CALLS_BEFORE {
            let level = verdict.as_ref().map(levels).unwrap_or_default();
            let busy = level.map(|level| level >= Grade::StepUp.threshold(budgets));
            take_over(&solo, &Past::new(std::mem::take(&mut past)), busy, trials, budgets);
        }
    }
    (ear, solo.now / 86_400.0)
}

/// Every takeover, each of a copy.
fn take_over(solo: &Solo<'_>, past: &Past, busy: [bool; 3], trials: &mut [Trials], budgets: Budgets) {
    for (takeover, trials) in Takeover::ALL.into_iter().zip(trials) {
        let mut copy = Solo {
            player: solo.player.clone(),
            gaps: solo.gaps.clone(),
            dice: solo.dice.clone(),
            now: solo.now,
        };
        let mut search = Search::new(instant(copy.now), Grade::StepUp, budgets);
        let mut oracle = Oracle::new(past, Grade::StepUp.budget_minutes(budgets) * 60.0);
        for _ in 0..CALLS_AFTER {
            let gap = takeover.next_gap(past, &mut copy.dice);
            let at = copy.pass(gap, &mut |verdict, at| search.hear(verdict, at));
            search.calls += 1;
            oracle.hear(gap, &copy.gaps, past, takeover);
            if let Some(verdict) = copy.call(at) {
                search.hear(&verdict, at);
            }
            let knows = oracle.calls().is_none_or(f64::is_finite);
            if knows && Lens::ALL.into_iter().all(|lens| search.has(lens)) {
                break;
            }
        }
        trials.outcomes.push(Outcome { bound: None, found: search.found, busy });
        trials.oracle.extend(oracle.calls());
    }
}

impl Solo<'_> {
    /// Waits for `gap` seconds. `hear` gets what is said of the agent while it is silent.
    fn pass(&mut self, gap: f64, hear: &mut impl FnMut(&detector::Verdict, Timestamp)) -> Timestamp {
        self.now += gap;
        let at = instant(self.now);
        self.player.tick(at, &mut |_, verdict| hear(verdict, verdict.ts));
        at
    }

    fn call(&mut self, at: Timestamp) -> Option<detector::Verdict> {
        let endpoint = usual_endpoint(0, self.dice.random());
        self.player.call(Due { at, agent: 0, endpoint })
    }
}

/// To the microsecond.
fn instant(seconds: f64) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + (seconds * 1e6) as i64)
}

/// One of the rows.
pub(crate) fn find(rows: &[TimingAlarms], lens: Lens, grade: Grade) -> Option<&TimingAlarms> {
    rows.iter().find(|r| r.lens == lens && r.grade == grade)
}

/// What an oracle needs for one of the takeovers, where the laws are known.
pub(crate) fn oracle(report: &TimingReport, attack: &str) -> Option<Spread> {
    report.oracles.iter().find(|o| o.attack == attack).map(|o| o.calls)
}
