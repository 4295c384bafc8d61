//! Whole streams, minute by minute in the prototype's order, through the product's components.
//!
//! The order is the prototype's where ours differs on purpose: it reads once a minute and not at every call, has no scale
//! of 10 s, looks downward on all of its three scales, takes a window's shape at a mean of which the present minute has
//! no echo, and rests by its own rules. Our logarithms of the scatter are up to 10 minutes old; here they are brought up
//! to date before every look.

use std::collections::VecDeque;

use libm::{exp, log};

use super::super::hour::Hour;
use super::super::ratio::Lines;
use super::super::scale::Expected;
use super::super::scatter::{Clumps, Shape};
use super::super::season::WEEK;
use super::super::{CELLS_PER_DAY, CELLS_PER_HOUR, CELLS_PER_MINUTE, FADING, Rest, Volume, kept_at};
use super::{context, peers, reference};
use crate::Timestamp;
use crate::reference::{Row, Table, Worst, numbers};
use crate::signal::tail::Group;
use crate::signal::volume::VolumePrior;

const SCALES: usize = 3;
/// Lengths of the prototype's windows in minutes; its scale k is our k + 1.
const MINUTES: [u32; SCALES] = [1, 10, 60];
const ALARM_DAYS: f64 = 90.0;
const LOCK_MINUTES: u32 = 1_440;
/// The epoch began on a Thursday; the streams' minute 0 is a Monday's first.
const MONDAY_CELL: i64 = 4 * CELLS_PER_DAY;
/// The least mean and shape that the prototype takes; ours have no need of a floor so high.
const FLOOR: f64 = 1e-3;

/// The prototype's mean is the same all hour; the edges have the way to the next hour in them already.
fn studied(hour: &Hour<f64>, minute: u32) -> Expected {
    Expected { mean: hour.level * hour.base / 60.0, ..hour.minute(i64::from(minute)) }
}

/// What a scale's open window said in one minute, before any of it was learned.
#[derive(Clone, Copy)]
struct Read {
    moments: [f64; 4],
    echo: [f64; 3],
    factor: f64,
    r: f64,
    n: f64,
    expected: Expected,
    up: [f64; 5],
    down: [f64; 3],
    evidence: [f64; 2],
}

struct Prototype {
    t: u32,
    volume: Volume<f64, f64>,
    peers: VolumePrior,
    threshold: [[f64; 2]; SCALES],
    /// The hours that are pending, since the stream began.
    waiting: VecDeque<u32>,
    locked_until: Option<u32>,
    alarms: Vec<u32>,
    anchor_alarms: Vec<u32>,
}

impl Prototype {
    fn new(per_hour: f64) -> Self {
        let peers = peers(per_hour);
        let mut volume = Volume::new(Timestamp::from_millis(MONDAY_CELL * 10_000), context(&peers));
        // It knows no clumps but those of its windows' moments.
        volume.scales.iter_mut().for_each(|scale| scale.clumps = Clumps::default());
        Self {
            t: 0,
            volume,
            peers,
            threshold: [[0.0; 2]; SCALES],
            waiting: VecDeque::new(),
            locked_until: None,
            alarms: Vec::new(),
            anchor_alarms: Vec::new(),
        }
    }

    fn is_locked(&self) -> bool {
        self.locked_until.is_some_and(|until| self.t < until)
    }

    fn group(k: usize) -> Group {
        Group { threshold: 2.0, never_days: exp(2.0) * f64::from(MINUTES[k]) / 1_440.0, groups: 6.0 }
    }

    fn begin_hour(&mut self) {
        // The prototype's weights are the study's, as ours before hours are compared.
        let ctx = context(&self.peers);
        self.volume.begin_hour(ctx);
        let days = f64::from(self.t) / 1_440.0;
        for k in 0..SCALES {
            for d in 0..2 {
                let (tail, prior) =
                    (self.volume.tails[kept_at(2 * (k + 1) + d)], 1.0 + 2.0 * exp(-days / 14.0));
                // It has no peers whose scale would be a limit.
                let rule = tail.rule_with(Self::group(k), days, prior, Some(f64::INFINITY));
                self.threshold[k][d] = rule.evidence_once_in(ALARM_DAYS);
            }
        }
    }

    fn minute(&mut self, calls: u32) -> [Read; SCALES] {
        // Windows have the shape they have at the end of the minute.
        self.volume.cell = MONDAY_CELL + CELLS_PER_MINUTE * (i64::from(self.t) + 1) - 1;
        if self.t.is_multiple_of(60) {
            self.begin_hour();
        }
        let (locked, mut alarm) = (self.is_locked(), false);
        let read = std::array::from_fn(|k| {
            let read = self.read(k, calls);
            alarm |= !locked && self.look(k, read.evidence);
            if (self.t + 1).is_multiple_of(MINUTES[k]) {
                self.close_window(k, read, locked);
            }
            read
        });
        self.volume.hour_calls += calls;
        if alarm {
            self.alarm();
        }
        if locked {
            let m = studied(&self.volume.hour, 0).mean;
            self.volume.rest.calls += f64::from(calls);
            self.volume.rest.expected += m;
        }
        if self.locked_until == Some(self.t) {
            self.rule_benign();
        }
        self.t += 1;
        self.volume.cell += 1;
        if self.t.is_multiple_of(60) {
            self.close_hour(locked);
        }
        read
    }

    fn read(&mut self, k: usize, calls: u32) -> Read {
        let minute = studied(&self.volume.hour, self.t % 60);
        let so_far = self.volume.scales[k + 1].expected(Expected::default()).mean;
        let r = self.volume.shape(k + 1).at((so_far + minute.mean).max(FLOOR)).max(FLOOR);
        let (scale, sums) = (&mut self.volume.scales[k + 1], &self.volume.sums[k]);
        let (moments, echo, factor) = (scale.scatter.moments(), scale.echo.numbers(), scale.echo.factor());
        scale.n += calls;
        scale.expose(minute);
        let (n, expected) = (f64::from(scale.n), scale.expected(Expected::default()));
        let (up, down) = (Lines::up(expected.high, r), Lines::down(expected.low, r));
        let evidence = [
            up.best(|i| sums.up[i], n).0 - log(sums.up.len() as f64),
            down.best(|i| sums.down[i], n).0 - log(sums.down.len() as f64),
        ];
        let (up, down) = (std::array::from_fn(|i| up.at(i, n)), std::array::from_fn(|i| down.at(i, n)));
        Read { moments, echo, factor, r, n, expected, up, down, evidence }
    }

    /// Shows both tails their evidence; whether one of them alarms.
    fn look(&mut self, k: usize, evidence: [f64; 2]) -> bool {
        for (d, evidence) in evidence.into_iter().enumerate() {
            let tail = &mut self.volume.tails[kept_at(2 * (k + 1) + d)];
            tail.raise(evidence, Self::group(k));
            if tail.ends(evidence, Self::group(k)) {
                tail.end(Self::group(k), self.threshold[k][d]);
            }
        }
        evidence[0] > self.threshold[k][0] || evidence[1] > self.threshold[k][1]
    }

    fn close_window(&mut self, k: usize, read: Read, locked: bool) {
        let (scale, fade) = (&mut self.volume.scales[k + 1], FADING[0].once[k + 1]);
        self.volume.sums[k].close(1, scale, Shape { relative: 1.0 / read.r, fano: 0.0 });
        if !locked {
            scale.scatter.take(read.n, read.expected.mean, read.r, fade, 1.0);
            scale.echo.learn(read.n, scale.profile(), fade, false, || 0.0);
        }
        scale.begin();
    }

    fn alarm(&mut self) {
        self.alarms.push(self.t);
        self.locked_until = Some(self.t + LOCK_MINUTES);
        self.volume.rest = Rest::default();
        for k in 0..SCALES {
            for d in 0..2 {
                let tail = &mut self.volume.tails[kept_at(2 * (k + 1) + d)];
                if tail.is_out() {
                    tail.end(Self::group(k), self.threshold[k][d]);
                }
            }
        }
        self.volume.pending.strike(3);
    }

    fn rule_benign(&mut self) {
        self.volume.reseed();
        self.volume.sums = Default::default();
    }

    fn close_hour(&mut self, locked: bool) {
        let volume = &mut self.volume;
        let calls = f64::from(std::mem::take(&mut volume.hour_calls));
        volume.ramp.count(calls);
        volume.ramp.expose(volume.hour.base);
        if locked {
            return;
        }
        volume.pending.push(calls, false);
        self.waiting.push_back(self.t / 60 - 1);
        // Its age is that at the start of the hour's last minute.
        while let Some((_, calls)) = volume.pending.pop(i64::from(self.t - 1) / 60) {
            let hour = self.waiting.pop_front().unwrap();
            if let Some(calls) = calls {
                let (hour, prior) =
                    (MONDAY_CELL / CELLS_PER_HOUR + i64::from(hour), context(&self.peers).prior());
                volume.learn_hour(hour, calls, prior);
            }
        }
    }

    /// A day has ended; `row` is what the prototype made of it.
    fn close_day(&mut self, row: Row<'_>, worst: &mut Worst) {
        let ramp = &mut self.volume.ramp;
        let (day, hour_shape) = (ramp.today(), 1.0 / self.volume.scales[3].scatter.relative());
        worst.check("dayn", day.calls, row.get("dayn"));
        worst.check("r", 4.0 * hour_shape, row.get("r"));
        if row.get("EA") > 1.0 {
            let [ratios, weight] = ramp.anchor();
            worst.check("daym", day.expected * weight / ratios, row.get("daym"));
        }
        // The prototype's anchor takes in days under suspicion too, and keeps what it was after an alarm.
        ramp.close_day(hour_shape, f64::from(self.t / 1_440), false);
        if ramp.evidence().0 > log(4.0 * ALARM_DAYS) {
            self.anchor_alarms.push(self.t - 1);
            ramp.rest();
        }
        let [ratios, weight] = ramp.anchor();
        for (name, got) in [("NA", ratios), ("EA", weight), ("SA", ramp.evidence().0)] {
            worst.check(name, got, row.get(name));
        }
    }

    /// What the whole minute has left behind.
    fn check_state(&self, row: Row<'_>, worst: &mut Worst) {
        for k in 0..SCALES {
            for (name, sums) in [("Su", &self.volume.sums[k].up[..]), ("Sd", &self.volume.sums[k].down)] {
                for (i, sum) in sums.iter().enumerate() {
                    worst.check(name, *sum, row.get(&format!("{name}[{k}][{i}]")));
                }
            }
            for d in 0..2 {
                let tail = &self.volume.tails[kept_at(2 * (k + 1) + d)];
                let [n, excess, excess2] = tail.sums();
                let (peak, threshold) = (tail.peak(), self.threshold[k][d]);
                let pairs = [("EX", n), ("SX", excess), ("SXX", excess2), ("cyc", peak), ("thr", threshold)];
                for (name, got) in pairs {
                    worst.check(name, got, row.get(&format!("{name}[{k}][{d}]")));
                }
            }
        }
        let [calls, expected, hours] = self.volume.level.sums();
        let tables = self.volume.season.tables().map(|table| table.iter().sum::<f64>());
        for (name, got) in
            [("NL", calls), ("EL", expected), ("EH", hours), ("N_sum", tables[0]), ("E_sum", tables[1])]
        {
            worst.check(name, got, row.get(name));
        }
        worst.check("pl", self.waiting.len() as f64, row.get("pl"));
        worst.check("hn", f64::from(self.volume.hour_calls), row.get("hn"));
    }
}

/// The expectation of the hour that has begun.
fn check_hour(prototype: &Prototype, minute: u32, row: Row<'_>, worst: &mut Worst) {
    let (volume, hour) = (&prototype.volume, (minute / 60) as usize % WEEK);
    // Before the hour's last minute the profile is still what the hour was made from.
    if minute % 60 != 59 {
        let prior = context(&prototype.peers).prior();
        let base = |hour: usize| volume.season.base(hour % WEEK, prior, 0.0);
        worst.check("bo", base(hour).other, row.get("bo"));
        worst.check("bnx", base(hour + 1).per_hour, row.get("bnx"));
        worst.check("bpv", base(hour + WEEK - 1).per_hour, row.get("bpv"));
    }
    let expected = studied(&volume.hour, minute % 60);
    let pairs = [
        ("b", volume.hour.base),
        ("L", volume.hour.level),
        ("m", expected.mean),
        // The variance v is in these two and nowhere else.
        ("mh", expected.high),
        ("ml", expected.low),
    ];
    for (name, got) in pairs {
        worst.check(name, got, row.get(name));
    }
}

/// What one scale read, as far as the row has it.
fn check_read(k: usize, read: &Read, row: Row<'_>, worst: &mut Worst) {
    let [excess, square, fano, windows] = read.moments;
    let [recent, with, total] = read.echo;
    let pairs = [
        ("num", excess),
        ("den", square),
        ("fn", fano),
        ("fd", windows),
        ("xw", recent),
        ("phn", with),
        ("phd", total),
        ("af_u", read.factor.max(1.0)),
        ("af_d", read.factor.min(1.0)),
        ("r", read.r),
        ("wn", read.n),
        ("wm", read.expected.mean),
        ("wh", read.expected.high),
        ("wl", read.expected.low),
        ("gu", read.evidence[0]),
        ("gd", read.evidence[1]),
    ];
    for (name, got) in pairs {
        if let Some(want) = row.find(&format!("{name}[{k}]")) {
            worst.check(name, got, want);
        }
    }
    for (name, ratios) in [("llr_up", &read.up[..]), ("llr_dn", &read.down)] {
        for (i, got) in ratios.iter().enumerate() {
            if let Some(want) = row.find(&format!("{name}[{k}][{i}]")) {
                worst.check(name, *got, want);
            }
        }
    }
}

#[test]
fn streams_are_the_prototypes_to_a_millionth() {
    let mut worst = Worst::default();
    for stream in reference()["streams"].as_array().unwrap() {
        let mut prototype = Prototype::new(stream["prior_per_hour"].as_f64().unwrap());
        let [samples, dense, days] = ["samples", "dense", "days"].map(|name| Table::new(&stream[name]));
        let (mut samples, mut dense) = (samples.rows().peekable(), dense.rows().peekable());
        let mut days = days.rows().peekable();
        for digit in stream["counts"].as_str().unwrap().bytes() {
            let t = prototype.t;
            let at = |row: &Row<'_>| row.get("t") as u32 == t;
            let read = prototype.minute(calls(digit));
            let sample = samples.next_if(at);
            for row in sample.into_iter().chain(dense.next_if(at)) {
                for (k, read) in read.iter().enumerate() {
                    check_read(k, read, row, &mut worst);
                }
            }
            if let Some(row) = sample {
                check_hour(&prototype, t, row, &mut worst);
                prototype.check_state(row, &mut worst);
            }
            if let Some(row) = days.next_if(at) {
                prototype.close_day(row, &mut worst);
            }
        }
        assert!(samples.next().is_none() && dense.next().is_none() && days.next().is_none());
        for (got, name) in prototype.volume.season.tables().iter().zip(["N", "E"]) {
            got.iter().zip(numbers(&stream[name])).for_each(|(got, want)| worst.check(name, *got, want));
        }
        let alarms = |name: &str| -> Vec<u32> {
            numbers(&stream["alarms"][name]).into_iter().map(|t| t as u32).collect()
        };
        assert_eq!(prototype.alarms, alarms("band_pot"));
        assert_eq!(prototype.anchor_alarms, alarms("anchor"));
    }
    worst.say_how_well("volume, minute by minute");
}

/// One character a minute: 0 to 9, a to z, A to Z.
fn calls(digit: u8) -> u32 {
    char::from(digit).to_digit(36).map_or_else(|| 0, |n| n + 26 * u32::from(digit.is_ascii_uppercase()))
}
