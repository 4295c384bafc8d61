//! Volume's arithmetic against the prototype's, what packing it costs, laws of its readings, and attacks on it.

mod attacks;
mod laws;
mod packing;
mod prototype;

use std::time::Duration;

use serde_json::Value;

use self::laws::START;
use super::prior::RATE_VARIANCE;
use super::ratio::{DOWN, Lines, UP};
use super::season::{Prior, Season};
use super::{BRIEF, CELLS, CELLS_PER_DAY, CELLS_PER_HOUR, Context, GROUPS, Volume, VolumePrior, VolumeTally};
use crate::reference::{Table, Worst, json, numbers};
use crate::signal::Alarm;
use crate::signal::tail::PeerTail;

fn reference() -> Value {
    json(include_str!("../../../tests/reference/volume.json"))
}

/// Peers that make so many calls an hour and have taught no tails.
fn peers(per_hour: f64) -> VolumePrior {
    VolumePrior {
        per_hour,
        variance: RATE_VARIANCE,
        hours_apart: 0.5,
        tails: [PeerTail::default(); super::TAILS],
        scatter: Default::default(),
    }
}

fn context(peers: &VolumePrior) -> Context<'_> {
    Context { peers, has_peers: false, widening: 1.0, declared_per_hour: None, alarm: Alarm::once_in(90.0) }
}

#[test]
fn the_mean_is_the_prototypes() {
    let mut worst = Worst::default();
    for case in reference()["base"].as_array().unwrap() {
        let get = |name: &str| case[name].as_f64().unwrap();
        for (name, ours) in [("k1", 1.0), ("k2", 1.5), ("k3", 1.5), ("tau2", 0.02)] {
            worst.check(name, ours, get(name));
        }
        let season = Season::<f64, f64>::from_tables(&numbers(&case["N"]), &numbers(&case["E"]));
        // The prototype knows no other variance of a prior, not even of a declared rate.
        let prior = Prior { per_hour: get("prior"), variance: 1.5, hours: get("e0"), hour_variance: 0.5 };
        let base = season.base(get("hw") as usize, prior, get("invr"));
        worst.check("mean", base.per_hour, get("mean"));
        worst.check("variance", base.variance, get("variance"));
        worst.check("other", base.other, get("other"));
    }
    worst.say_how_well("volume's mean");
}

#[test]
fn likelihood_ratios_are_the_prototypes() {
    let mut worst = Worst::default();
    for row in Table::new(&reference()["llr"]).rows() {
        let [n, m, rho, r] = ["n", "m", "rho", "r"].map(|name| row.get(name));
        let factors = [&UP[..], &DOWN].concat();
        let i = factors.iter().position(|f| f.total_cmp(&rho).is_eq()).expect("one of our factors");
        let got = match i.checked_sub(UP.len()) {
            None => Lines::up(m, r).at(i, n),
            Some(i) => Lines::down(m, r).at(i, n),
        };
        worst.check("llr", got, row.get("llr"));
    }
    worst.say_how_well("volume's likelihood ratios");
}

#[test]
fn bursts_are_believed_to_be_as_large_as_peers_where_the_mean_is_declared_and_else_as_the_study_has_them() {
    let mut peers = peers(60.0);
    (0..4_000).for_each(|_| peers.scatter[1].learn(60.0, 1.0, 1.0, 1.0));
    let scatter = |declared_per_hour| {
        let scale = Context { declared_per_hour, ..context(&peers) }.scale::<f64>(1, 1.0);
        [scale.scatter.relative(), scale.clumps.fano()]
    };
    let (known, unknown) = (scatter(Some(60.0)), scatter(None));
    assert!((unknown[0] - 3.0).abs() < 1e-9 && (unknown[1] - 4.0).abs() < 1e-9, "{unknown:?}");
    assert!(known.iter().all(|moment| *moment > 100.0), "{known:?}");
}

#[test]
fn hours_lie_as_far_apart_for_a_declared_rate_as_peers_taught_and_one_of_them_says_little() {
    let mut tally = VolumeTally::default();
    let of_hour = |tally: &VolumeTally| {
        let peers = tally.prior();
        Context { declared_per_hour: Some(60.0), ..context(&peers) }.prior().hour_variance
    };
    assert!((of_hour(&tally) - 0.5).abs() < 1e-9);
    (0..700).for_each(|_| tally.add_day(Some(0.0)));
    assert!(of_hour(&tally) < 0.01);
    for odd in [f64::INFINITY, -1e18] {
        tally.add_day(Some(odd));
        assert!((0.0..0.05).contains(&of_hour(&tally)), "{}", of_hour(&tally));
    }
}

/// Peers' pairs, of which more were expected, stood out a little and often. Of an agent at rest the same two calls in ten seconds would
/// then come once in years; chance brings them every few weeks.
#[test]
fn of_a_few_calls_in_a_short_window_no_more_is_said_than_the_chance_of_as_many() {
    let mut peers = peers(1.0);
    for brief in 0..BRIEF {
        (0..1_000).for_each(|_| peers.tails[2 * brief].learn(0.3));
    }
    let (ctx, mut tally) = (context(&peers), VolumeTally::default());
    let mut volume = Volume::<f32>::new(START, ctx);
    volume.advance(START + Duration::from_hours(24 * 28), ctx, &mut tally);
    for (k, cells) in CELLS.iter().map(|cells| *cells as f64).enumerate().take(BRIEF) {
        // A call an hour, and up to twice as many for all that is known; counts that scatter as Poisson's do.
        let (m, r) = (cells * 2.0 / CELLS_PER_HOUR as f64, 1e6);
        let level = |n: f64| {
            let (sum, _) = Lines::up(m, r).best(|_| 0.0, n);
            let by_tail = volume.strength(2 * k, sum - 5.0_f64.ln(), ctx).level();
            [by_tail, volume.strength_up(k, sum, (n, m, r), ctx).level()]
        };
        let [by_tail, said] = level(2.0);
        assert!(by_tail > ctx.alarm.level && said < 0.0, "{by_tail} {said}");
        let windows = CELLS_PER_DAY as f64 / cells * GROUPS;
        let chance = m * m / 2.0;
        assert!(said <= -(windows * chance).log2() && said > -(windows * chance).log2() - 3.0, "{said}");
        let [by_tail, said] = level(4.0);
        assert!(said > ctx.alarm.level && said <= by_tail, "{by_tail} {said}");
    }
}
