//! What holds for every stream of calls.

use std::time::Duration;

use proptest::prelude::*;

use super::super::ratio::Lines;
use super::super::scale::Expected;
use super::super::scatter::Shape;
use super::super::{CELL, CELLS, CELLS_PER_MINUTE, Context, SCALES, THRESHOLD, Volume, VolumeTally};
use super::{context, peers};
use crate::Timestamp;
use crate::random::Random;

/// A Monday.
pub(super) const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);

/// Two volumes that see the same calls; one looks at every call.
struct Twins {
    lazy: Volume,
    eager: Volume,
    tallies: [VolumeTally; 2],
    skipped: u32,
}

/// What says that calls need no look is forgotten.
fn look_at_every_call(volume: &mut Volume) {
    (volume.room, volume.still) = (0, 0);
    volume.scales.iter_mut().for_each(|scale| scale.quiet = 0);
}

impl Twins {
    fn new(lazy: Volume) -> Self {
        let eager = lazy.clone();
        Self { lazy, eager, tallies: [VolumeTally::default(), VolumeTally::default()], skipped: 0 }
    }

    /// A call, of which both must say the same.
    fn call(&mut self, ts: Timestamp, ctx: Context<'_>) {
        let [lazy_tally, eager_tally] = &mut self.tallies;
        self.lazy.advance(ts, ctx, lazy_tally);
        self.eager.advance(ts, ctx, eager_tally);
        self.skipped += u32::from(self.lazy.room > 0 && self.lazy.out == 0);
        look_at_every_call(&mut self.eager);
        let (a, b) = (self.lazy.count(ts, ctx, lazy_tally), self.eager.count(ts, ctx, eager_tally));
        assert_eq!((a.before, a.now, a.at), (b.before, b.now, b.at), "at {ts}");
    }

    /// Both must have become the same.
    fn end(mut self) -> u32 {
        for volume in [&mut self.lazy, &mut self.eager] {
            volume.flush();
            look_at_every_call(volume);
        }
        assert_eq!(self.lazy, self.eager);
        assert_eq!(self.tallies[0], self.tallies[1]);
        self.skipped
    }
}

#[test]
fn a_busy_agent_is_read_the_same_without_a_look_at_every_call() {
    let peers = peers(3_000.0);
    let ctx = context(&peers);
    let (mut twins, mut random) = (Twins::new(Volume::new(START, ctx)), Random::new(1));
    let (mut hours, mut clump) = (0.0, 1.0);
    while hours < 5.0 {
        // Clumps of calls, at a rate that halves from hour to hour.
        if random.unit() < 0.01 {
            clump = if random.unit() < 0.5 { 0.2 } else { 3.0 };
        }
        hours += random.exponential() / (6_000.0 * clump * libm::exp2(-libm::floor(hours)));
        twins.call(START + Duration::from_secs_f64(hours * 3_600.0), ctx);
    }
    let skipped = twins.end();
    assert!(skipped > 1_000, "{skipped}");
}

/// Gaps in milliseconds: calls at once, bursts, minutes, hours, and weeks without a call.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![
        40 => Just(0_u64),
        200 => 0..300_u64,
        100 => 0..5_000_u64,
        60 => 0..120_000_u64,
        4 => 0..7_200_000_u64,
        1 => 0..5_000_000_000_u64,
    ];
    prop::collection::vec(gap, 1..600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_agent_is_read_the_same_without_a_look_at_every_call(gaps in gaps(), per_hour in 0.1..1e4_f64) {
        let peers = peers(per_hour);
        let ctx = context(&peers);
        let (mut twins, mut ts) = (Twins::new(Volume::new(START, ctx)), START);
        for gap in gaps {
            ts = ts + Duration::from_millis(gap);
            twins.call(ts, ctx);
        }
        twins.end();
    }
}

proptest! {
    /// In an open window the band may get narrower and the shape larger, both of which make the same count stranger.
    #[test]
    fn a_count_near_the_threshold_is_seen_in_time(
        ln_rate in 2.0..10.0_f64,
        minute in 0..60_i64,
        fano in 0.2..5.0_f64,
        band in 1.0..20.0_f64,
        (near, below) in (0..SCALES, 0..10_u32),
        gaps in prop::collection::vec(0..1_000_000_u64, 2..12),
    ) {
        let peers = peers(ln_rate.exp());
        let ctx = context(&peers);
        let mut volume = Volume::new(START, ctx);
        volume.cell += minute * CELLS_PER_MINUTE + 3;
        let mean = |cells: i64| peers.per_hour / 360.0 * cells as f64;
        for (scale, cells) in volume.scales.iter_mut().zip(CELLS) {
            let m = mean(cells);
            scale.scatter.take(m + (m * (1.0 + fano)).sqrt(), m, 1e3, 0.0, 30.0);
        }
        for (k, cells) in CELLS.into_iter().enumerate() {
            let mean = mean(volume.cell.rem_euclid(cells));
            let so_far = Expected { mean, high: mean * band, low: mean / band };
            volume.scales[k].expose(so_far);
            let lines = Lines::up(so_far.high, volume.shape(k).at(mean));
            let least = lines.least_count(|_| 0.0, THRESHOLD + libm::log(5.0));
            volume.scales[k].n = if k == near { least.saturating_sub(below) } else { 0 };
        }
        let end = Timestamp::from_micros((volume.cell + 1) * CELL.as_micros() as i64);
        let (mut twins, mut ts) = (Twins::new(volume), end - CELL);
        for gap in gaps {
            ts = ts + Duration::from_micros(gap);
            if ts < end {
                twins.call(ts, ctx);
            }
        }
        twins.end();
    }

    /// The nearer a count is to its expectation, the less it says, in both directions.
    #[test]
    fn evidence_falls_towards_the_expectation(
        m in 1e-4..1e4_f64,
        (times, more) in (1.0..3.0_f64, 0..1_000_u32),
        n in 0..20_000_u32,
        (relative, fano) in (0.0..3.0_f64, 0.0..30.0_f64),
    ) {
        let shape = Shape { relative, fano };
        let up = |n: u32, m: f64| Lines::up(m * 1.5, shape.at(m)).best(|_| 0.0, f64::from(n)).0;
        let down = |n: u32, m: f64| Lines::down(m / 1.5, shape.at(m)).best(|_| 0.0, f64::from(n)).0;
        let slack = 1e-9 * (1.0 + f64::from(n));
        prop_assert!(up(n + more, m) + slack >= up(n, m));
        prop_assert!(up(n, m * times) <= up(n, m) + slack);
        prop_assert!(down(n + more, m) <= down(n, m) + slack);
        prop_assert!(down(n, m * times) + slack >= down(n, m));
    }
}

#[test]
fn an_hour_before_a_long_idle_spell_is_learned_where_it_was() {
    let peers = peers(20.0);
    let ctx = context(&peers);
    let nine = START + Duration::from_hours(9);
    let (mut volume, mut tally) = (Volume::<f64, f64>::new(nine, ctx), VolumeTally::default());
    let calls = (0..20).map(|i| nine + Duration::from_mins(3 * i));
    for ts in calls.chain([nine + Duration::from_hours(60 * 24 + 5)]) {
        volume.advance(ts, ctx, &mut tally);
        volume.count(ts, ctx, &mut tally);
    }
    let [calls, _] = volume.season.tables();
    let elsewhere = calls.iter().sum::<f64>() - calls[9];
    assert!(calls[9] > 9.0 && elsewhere.abs() < 1e-9, "{} and {elsewhere}", calls[9]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// From one call in a century to a million a second, in any year.
    #[test]
    fn strength_is_finite_at_any_rate(
        log10_rate in -9.0..12.0_f64,
        is_declared: bool,
        gaps in prop::collection::vec(prop_oneof![9 => 0..20_000_000_u64, 1 => 0..10_u64.pow(17)], 1..40),
    ) {
        let per_hour = libm::exp10(log10_rate);
        let peers = peers(per_hour);
        let ctx = Context { declared_per_hour: is_declared.then_some(per_hour), ..context(&peers) };
        let mut ts = Timestamp::from_micros(-62_135_596_800_000_000);
        let (mut volume, mut tally) = (Volume::<f32>::new(ts, ctx), VolumeTally::default());
        for gap in gaps {
            ts = ts + Duration::from_micros(gap);
            volume.advance(ts, ctx, &mut tally);
            let reading = volume.count(ts, ctx, &mut tally);
            for strength in [reading.before, reading.now] {
                prop_assert!(strength.bits.is_finite() && strength.level().is_finite(), "{:?} at {ts}", reading);
            }
        }
        prop_assert!(volume.season.tables().as_flattened().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn weeks_of_silence_are_no_new_normal() {
    let peers = peers(60.0);
    let ctx = context(&peers);
    let (mut volume, mut tally, mut random) =
        (Volume::<f32>::new(START, ctx), VolumeTally::default(), Random::new(4));
    let mut minutes = 0.0;
    let mut run = |volume: &mut Volume, minutes: &mut f64, days: f64| {
        let end = *minutes + days * 1_440.0;
        let mut loudest = f64::NEG_INFINITY;
        while *minutes < end {
            *minutes += random.exponential();
            let ts = START + Duration::from_secs_f64(*minutes * 60.0);
            volume.advance(ts, ctx, &mut tally);
            loudest = loudest.max(volume.count(ts, ctx, &mut tally).now.level());
        }
        loudest
    };
    run(&mut volume, &mut minutes, 10.0);
    for weeks in [0.5, 3.0, 8.0] {
        let before = volume.per_hour(ctx);
        minutes += weeks * 7.0 * 1_440.0;
        let loudest = run(&mut volume, &mut minutes, 1.0);
        let now = volume.per_hour(ctx);
        assert!(
            (now / before - 1.0).abs() < 0.2,
            "{before} calls an hour became {now} in {weeks} weeks of rest"
        );
        assert!(loudest < ctx.alarm.level - 1.0, "{loudest} bits on return after {weeks} weeks");
        run(&mut volume, &mut minutes, 3.0);
    }
}

#[test]
fn an_hour_tells_its_rate_by_its_own_calls() {
    let peers = peers(60.0);
    let ctx = context(&peers);
    let (mut volume, mut tally) = (Volume::<f32>::new(START, ctx), VolumeTally::default());
    let mut call = |volume: &mut Volume, at_s: u64| {
        volume.advance(START + Duration::from_secs(at_s), ctx, &mut tally);
        volume.count(START + Duration::from_secs(at_s), ctx, &mut tally);
    };
    // Five even days of a call a minute leave little unknown of a Friday. Then the first Saturday begins, and may be
    // anything until it has shown some of itself.
    (0..5 * 1_440).for_each(|minute| call(&mut volume, 60 * minute + 30));
    let friday = volume.rate_variance();
    call(&mut volume, 5 * 86_400 + 30);
    let at_midnight = volume.rate_variance();
    (1..40).for_each(|minute| call(&mut volume, 5 * 86_400 + 60 * minute + 30));
    let after_forty_calls = volume.rate_variance();
    assert!(friday < at_midnight / 5.0, "{friday} {at_midnight}");
    assert!(after_forty_calls < 0.6 * at_midnight, "{at_midnight} {after_forty_calls}");
}
