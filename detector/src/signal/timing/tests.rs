//! The law of gaps and the phase against the prototype's, and what packing costs.
//!
//! The streams go through [`Gaps`], [`Phase`] and two tails in the prototype's order. It calibrates every 50 events, and
//! reads "a person's pace" at the gap itself where ours reads it at the middle of its bin; that one score is computed
//! here. Our pace, which takes out what wanders, it has not.

use std::f64::consts::LN_2;
use std::time::Duration;

use libm::{exp, log, log2};
use serde_json::Value;

use super::gaps::{BINS, Gaps, PeerGaps};
use super::phase::Phase;
use super::{Context, NAMED, Reading, Timing, TimingPrior, bin_of};
use crate::Timestamp;
use crate::random::Random;
use crate::reference::{Apart, Row, Table, Worst, json, numbers};
use crate::signal::tail::{Group, Tail};
use crate::signal::{Alarm, Strength};
use crate::verdict::Pattern;

const ALARM_DAYS: f64 = 90.0;
/// Of the null's side: what is even, and a person's gaps as the prototype rounds them.
const EVEN: f64 = 1.0 / BINS as f64;
/// Its line between short and long gaps moves by steps that are no binary fraction.
const MEDIAN_STEP: f64 = 0.02;
/// Before the first calibration nothing alarms.
const NEVER: f64 = 99.0;

/// What one event said, before any of it was learned or an alarm took it back.
struct Read {
    state: usize,
    octaves: f64,
    bin: usize,
    totals: [f64; 3],
    chances: [f64; 4],
    sums: [f64; 4],
    evidence: f64,
    phase: [f64; 4],
    phase_evidence: f64,
}

struct Prototype {
    gaps: Gaps<f64, f64>,
    phase: Phase<f64>,
    /// The histogram's and the phase's.
    tails: [Tail<f64>; 2],
    thresholds: [f64; 2],
    sums: [f64; 4],
    median: f64,
    before: usize,
    events: u32,
    quiet_until: u32,
    alarms: [Vec<u32>; 2],
}

impl Prototype {
    fn new() -> Self {
        Self {
            gaps: Gaps::new(&PeerGaps::default()),
            phase: Phase::new(),
            tails: [Tail::default(); 2],
            thresholds: [NEVER; 2],
            sums: [0.0; 4],
            median: 0.0,
            before: 10,
            events: 0,
            quiet_until: 0,
            alarms: [Vec::new(), Vec::new()],
        }
    }

    /// A gap of so many seconds; the first call was so many days ago.
    fn event(&mut self, gap_s: f64, age_days: f64) -> Read {
        self.events += 1;
        let octaves = log2(gap_s * 1e3);
        let (bin, state) = (bin_of(octaves), usize::from(self.before as f64 >= self.median));
        let chances = self.weigh(state, bin, octaves);
        let (totals, sums) = (self.gaps.totals(state), self.sums);
        let evidence = sums.into_iter().fold(0.0, f64::max) - 2.0 * LN_2;
        if self.events.is_multiple_of(50) {
            self.calibrate(age_days.max(1e-3));
        }
        let alarms = self.events > 50 && evidence > self.thresholds[0];
        self.look(0, evidence, alarms);
        if alarms {
            self.sums = [0.0; 4];
        }
        let suspect = evidence > 0.6 * self.thresholds[0];

        let beat = self.phase.take(gap_s);
        self.phase.weigh(beat);
        let (phase, phase_evidence) = (self.phase.numbers(), self.phase.evidence().0);
        let is_held = self.phase.is_periodic() && self.quiet_until <= self.events;
        let alarms = phase_evidence > self.thresholds[1] && is_held;
        self.look(1, phase_evidence, alarms);
        if alarms {
            self.quiet_until = self.events + 50;
            self.phase.rest();
        }
        self.gaps.learn(state, bin, suspect, 0.5);
        let b = bin as f64;
        if (b - self.median).abs() > 0.0 {
            self.median += MEDIAN_STEP * (b - self.median).signum();
        }
        self.before = bin;
        Read { state, octaves, bin, totals, chances, sums, evidence, phase, phase_evidence }
    }

    /// Adds what the gap says for each alternative; gives p0, p1 and the named ones'.
    fn weigh(&mut self, state: usize, bin: usize, octaves: f64) -> [f64; 4] {
        let known = self.gaps.known(state, bin);
        let z = (octaves - 13.0) / 1.7;
        let human = 0.9 * exp(-z * z / 2.0) / (1.7 * 2.5066) + 0.1 * EVEN;
        let (lately, gun) = (self.gaps.lately(state, bin), exp(NAMED[1][bin]));
        for (sum, chance) in self.sums.iter_mut().zip([lately, EVEN, human, gun]) {
            *sum = (*sum + log(chance / known)).max(0.0);
        }
        [known, lately, human, gun]
    }

    fn calibrate(&mut self, age_days: f64) {
        let never_days = exp(super::THRESHOLD) * age_days / f64::from(self.events);
        let group = Group { never_days, ..Self::group() };
        self.thresholds = self.tails.map(|tail| {
            let rule = tail.rule_with(group, age_days, 1.0, Some(f64::INFINITY));
            rule.evidence_once_in(ALARM_DAYS)
        });
    }

    fn group() -> Group {
        Group { threshold: super::THRESHOLD, never_days: 0.0, groups: 2.0 }
    }

    fn look(&mut self, g: usize, evidence: f64, alarms: bool) {
        let tail = &mut self.tails[g];
        tail.raise(evidence, Self::group());
        if alarms || tail.ends(evidence, Self::group()) {
            tail.end(Self::group(), self.thresholds[g]);
        }
        if alarms {
            self.alarms[g].push(self.events);
        }
    }

    /// Ours takes another gap for the period where none has held, so the phase is compared where an agent keeps one.
    fn check(&self, read: &Read, row: Row<'_>, periodic: bool, worst: &mut Worst) {
        assert_eq!([read.state, read.bin], [row.get("st") as usize, row.get("b") as usize]);
        let [period, scale, ..] = read.phase;
        let pairs = [
            ("lg", read.octaves),
            ("tot0", read.totals[0]),
            ("tot1", read.totals[1]),
            ("tot2", read.totals[2]),
            ("p0", read.chances[0]),
            ("p1", read.chances[1]),
            ("ph", read.chances[2]),
            ("pm", read.chances[3]),
            ("G", read.evidence),
            ("thr", self.thresholds[0]),
            ("med", self.median),
        ];
        let phase = [("P", period), ("sc", scale), ("Gp", read.phase_evidence), ("thrp", self.thresholds[1])];
        let pairs = pairs.into_iter().chain(phase.into_iter().filter(|_| periodic));
        for (name, got) in pairs {
            worst.check(name, got, row.get(name));
        }
        read.sums.iter().enumerate().for_each(|(i, sum)| worst.check("S", *sum, row.at("S", i)));
        let phases = if periodic { 2 } else { 0 };
        (0..phases).for_each(|i| worst.check("Sp", read.phase[2 + i], row.at("Sp", i)));
        for (tail, p) in self.tails.iter().zip(["", "p"]).take(if periodic { 2 } else { 1 }) {
            let [n, excess, excess2] = tail.sums();
            for (name, got) in [("EX", n), ("SX", excess), ("SXX", excess2), ("cyc", tail.peak())] {
                worst.check(name, got, row.get(&format!("{name}{p}")));
            }
        }
    }
}

fn reference() -> Value {
    json(include_str!("../../../tests/reference/timing.json"))
}

/// Gaps in seconds.
fn gaps(stream: &Value) -> impl Iterator<Item = f64> {
    stream["gaps"].as_str().unwrap().split(' ').map(|gap| gap.parse().unwrap())
}

#[test]
fn streams_are_the_prototypes_to_a_millionth() {
    let mut worst = Worst::default();
    for stream in reference()["streams"].as_array().unwrap() {
        let mut prototype = Prototype::new();
        let periodic = stream["name"] == "cron";
        let table = Table::new(&stream["samples"]);
        let mut rows = table.rows().peekable();
        let mut gaps = gaps(stream);
        let first = gaps.next().unwrap();
        let mut now = first;
        for gap in gaps {
            let before = now;
            now += gap;
            let read = prototype.event((now - before).max(1e-3), (now - first) / 86_400.0);
            if let Some(row) = rows.next_if(|row| row.get("i") as u32 == prototype.events) {
                prototype.check(&read, row, periodic, &mut worst);
            }
        }
        assert!(rows.next().is_none());
        for (alarms, name) in
            prototype.alarms.iter().zip(["histogram", "phase"]).take(if periodic { 2 } else { 1 })
        {
            assert_eq!(
                alarms.iter().copied().map(f64::from).collect::<Vec<_>>(),
                numbers(&stream["alarms"][name])
            );
        }
    }
    worst.say_how_well("timing");
}

#[test]
fn packing_moves_no_level() {
    let start = Timestamp::from_millis(1_740_355_200_000);
    let (peers, mut random) = (TimingPrior::default(), Random::new(1));
    let ctx = Context {
        peers: &peers,
        has_peers: false,
        widening: 1.0,
        rate_octaves: 0.0,
        rate_variance: 0.01,
        alarm: Alarm::once_in(ALARM_DAYS),
    };
    let mut exact = Timing::<f64, f64>::new(start, &peers);
    let mut packed = Timing::<f32>::new(start, &peers);
    let mut tallies = [peers, peers];
    let (mut ts, mut apart) = (start, Apart::at_most(0.5));
    for i in 0..6_000 {
        // Sessions of calls a few seconds apart; near the end somebody calls as fast as he can.
        let gap_s = match (i, random.unit()) {
            (5_500..5_600, _) => 0.1 * exp(0.3 * random.normal()),
            (_, u) if u < 0.1 => 1_200.0 * exp(random.normal()),
            _ => 4.0 * exp(0.7 * random.normal()),
        };
        ts = ts + Duration::from_secs_f64(gap_s);
        let (a, b) = (exact.count(ts, ctx, &mut tallies[0]), packed.count(ts, ctx, &mut tallies[1]));
        let out = |r: Reading| (r.pattern != Pattern::AsUsual).then_some(r.now);
        apart.see(out(a), out(b));
    }
    apart.say("timing", 10.0);
}

#[test]
fn a_gap_that_was_not_seen_for_a_million_calls_is_no_proof() {
    let mut gaps = Gaps::<f32>::new(&PeerGaps::default());
    for _ in 0..1_000_000 {
        gaps.learn(1, 12, false, 0.5);
    }
    let (known, lately) = (gaps.known(1, 5), gaps.lately(1, 5));
    assert!(known > 1e-7 && lately > 1e-7, "{known} {lately}");
}

/// Strongest level while an agent leaves such gaps at a rate that is known.
fn highest(gaps_s: impl Iterator<Item = f64>) -> f64 {
    highest_at(0.0, gaps_s)
}

/// The same where the rate of the hour is not: its relative variance.
fn highest_at(rate_variance: f64, gaps_s: impl Iterator<Item = f64>) -> f64 {
    let (mut ts, peers) = (Timestamp::from_millis(1_740_355_200_000), TimingPrior::default());
    let (mut timing, mut tally) = (Timing::<f32>::new(ts, &peers), peers);
    let ctx = Context {
        peers: &peers,
        has_peers: false,
        widening: 1.0,
        rate_octaves: 0.0,
        rate_variance,
        alarm: Alarm::once_in(ALARM_DAYS),
    };
    let mut level = |gap_s: f64| {
        ts = ts + Duration::from_secs_f64(gap_s);
        let Strength { bits, looks } = timing.count(ts, ctx, &mut tally).now;
        assert!(bits.is_finite() && looks.is_finite(), "{bits} bits, 2^{looks} a day");
        bits - looks
    };
    gaps_s.map(&mut level).fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn one_gap_is_no_proof_however_long_the_like_was_not_seen() {
    // By then a prior that fades without end is nothing in 16 bits.
    let level = highest(std::iter::once(0.0).chain(std::iter::repeat_n(5.0, 60_000)).chain([0.3]));
    assert!(level < 20.0, "{level}");
}

#[test]
fn a_clock_that_keeps_its_beat_exactly_is_not_too_regular() {
    let level = highest(std::iter::once(0.0).chain(std::iter::repeat_n(60.0, 3_000)));
    assert!(level < log2(ALARM_DAYS), "{level}");
}

#[test]
fn an_agent_that_missed_its_first_beat_has_not_lost_it() {
    let level = highest([0.0, 10.0].into_iter().chain(std::iter::repeat_n(5.0, 3_000)));
    assert!(level < log2(ALARM_DAYS), "{level}");
}

/// In an hour of which nobody knows the rate a faster pace is excused as far as the rate may be off, and a machine-gun is further.
#[test]
fn an_unknown_rate_excuses_twice_the_pace_and_no_machine_gun() {
    let mut dice = Random::new(3);
    let mut gap = move |pace: f64| if dice.unit() < 0.05 { 1_000.0 } else { pace * exp(0.8 * dice.normal()) };
    let usual: Vec<f64> = (0..5_000).map(|_| gap(1.0)).collect();
    let after = |gaps: Vec<f64>| highest_at(0.5, usual.iter().copied().chain(gaps));
    let twice = after((0..300).map(|_| gap(0.5)).collect());
    let gun = after(vec![0.1; 8]);
    assert!(twice < log2(ALARM_DAYS) && gun > log2(ALARM_DAYS), "{twice} {gun}");
}
