//! What an attacker may try on volume: to widen what is normal, to grow as a burst does, to be learned.

use std::time::Duration;

use libm::{exp, log, sqrt};

use super::super::{Context, NO_TAIL, SCALES, TAILS, Volume, VolumePrior, VolumeTally, group, kept_at};
use super::laws::START;
use super::{context, peers};
use crate::Timestamp;
use crate::combine::Thresholds;
use crate::random::Random;
use crate::signal::Story;
use crate::signal::tail::PeerTail;
use crate::verdict::Pattern;

const HOUR: f64 = 60.0;
const DAY: f64 = 24.0 * HOUR;

/// Volume as the detector reads it, with the family's share of the budget.
fn of_family(peers: &VolumePrior) -> Context<'_> {
    Context { alarm: Thresholds::default().volume, ..context(peers) }
}

/// An agent whose calls come by chance.
#[derive(Clone)]
struct Agent {
    volume: Volume,
    tally: VolumeTally,
    random: Random,
    /// Since [`START`], a Monday's first instant.
    minutes: f64,
}

impl Agent {
    fn new(ctx: Context<'_>) -> Self {
        let (volume, random) = (Volume::new(START, ctx), Random::new(7));
        Self { volume, tally: VolumeTally::default(), random, minutes: 0.0 }
    }

    /// Calls so often a minute until `end`; when the first alarm is raised in that time, in minutes, and what it tells.
    fn run(
        &mut self,
        end: f64,
        ctx: Context<'_>,
        mut per_minute: impl FnMut(f64) -> f64,
    ) -> Option<(f64, Story)> {
        let mut alarm = None;
        loop {
            self.minutes += self.random.exponential() / per_minute(self.minutes);
            if self.minutes >= end {
                self.minutes = end;
                return alarm;
            }
            let ts = at(self.minutes);
            self.volume.advance(ts, ctx, &mut self.tally);
            let reading = self.volume.count(ts, ctx, &mut self.tally);
            if alarm.is_none() && reading.now.level() >= ctx.alarm.level {
                alarm = Some((self.minutes, self.volume.story(reading.at, ts, ctx)));
            }
        }
    }
}

fn at(minutes: f64) -> Timestamp {
    START + Duration::from_secs_f64(60.0 * minutes)
}

#[test]
fn a_thousand_excursions_just_under_the_alarm_hide_no_x20() {
    let mut of_peers = PeerTail::default();
    (0..200).for_each(|i| of_peers.learn(-log((f64::from(i) + 0.5) / 200.0)));
    let peers = VolumePrior { tails: [of_peers; TAILS], ..peers(60.0) };
    let ctx = of_family(&peers);
    let mut calm = Agent::new(ctx);
    assert!(calm.run(28.0 * DAY, ctx, |_| 1.0).is_none());
    let mut patient = calm.clone();
    for g in (0..TAILS).filter(|g| *g != NO_TAIL) {
        for _ in 0..1_000 {
            let alarm = patient.volume.rule(g, ctx).evidence_once_in(ctx.alarm.days);
            patient.volume.tails[kept_at(g)].raise(0.999 * alarm, group(g));
            patient.volume.end_excursion(g, ctx, &mut patient.tally);
        }
    }
    let found = |mut agent: Agent| {
        let begin = agent.minutes;
        agent.run(begin + HOUR, ctx, |_| 20.0).map(|(minutes, _)| minutes - begin)
    };
    let threshold = |agent: &Agent| agent.volume.rule(2, ctx).evidence_once_in(ctx.alarm.days);
    let thresholds = [&calm, &patient].map(threshold);
    let [calm, patient] = [calm, patient].map(|agent| found(agent).unwrap());
    assert!(calm < 2.0 && patient < 10.0, "minutes {calm} {patient}, nats {thresholds:?}");
}

#[test]
fn who_announces_its_own_bursts_hides_no_ramp_within_minutes() {
    let peers = peers(600.0);
    let ctx = of_family(&peers);
    let mut agent = Agent::new(ctx);
    // The logarithm of its rate wanders with a deviation of 0.6 and forgets half of itself in two hours.
    let (mut random, mut wander, mut minute) = (Random::new(11), 0.0, 0.0);
    let keep = exp(-log(2.0) / 120.0);
    let mut wandering = |minutes: f64| {
        while minute < minutes {
            wander = keep * wander + 0.6 * sqrt(1.0 - keep * keep) * random.normal();
            minute += 1.0;
        }
        10.0 * exp(wander)
    };
    let begin = 21.0 * DAY + 10.0 * HOUR;
    agent.run(begin, ctx, &mut wandering);
    agent.volume.accept(ctx, &mut agent.tally);
    let shares: [f64; SCALES] = std::array::from_fn(|k| agent.volume.scales[k].echo.share());
    let ramp = |minutes: f64| 10.0 * exp(log(20.0) * ((minutes - begin) / 30.0).min(1.0));
    let found = agent.run(begin + 2.0 * HOUR, ctx, ramp).map(|(minutes, _)| minutes - begin);
    assert!(shares[1] > 0.9 && found.is_some_and(|m| m <= 30.0), "{found:?} minutes, phi {shares:?}");
}

#[test]
fn a_burst_is_dated_and_its_hours_are_not_learned() {
    let peers = peers(60.0);
    let ctx = of_family(&peers);
    let mut agent = Agent::new(ctx);
    // A Thursday, 20 minutes past ten.
    let burst = 24.0 * DAY + 10.0 * HOUR + 20.0;
    assert!(agent.run(burst, ctx, |_| 1.0).is_none());
    let before = agent.volume.season.tables();
    let (_, story) = agent.run(burst + 2.0 * HOUR, ctx, |_| 10.0).unwrap();
    let window_s = story.window_ms as f64 / 1e3;
    let off_s = story.since.since(at(burst)).as_secs_f64() - at(burst).since(story.since).as_secs_f64();
    assert_eq!(story.pattern, Pattern::MoreCalls);
    assert!(off_s.abs() <= window_s, "{off_s} s off, by windows of {window_s} s");
    // Nobody rules on it. Days later the day before it has been learned, and nothing from the burst until learning began again.
    agent.run(burst + 5.0 * DAY, ctx, |_| 1.0);
    let thursday_ten = 3 * 24 + 10;
    for (before, after) in before.iter().zip(&agent.volume.season.tables()) {
        let from = |hour: usize| [before, after].map(|table| &table[hour..hour + 24]);
        let ([kept, is_kept], [known, learned]) = (from(thursday_ten), from(thursday_ten - 24));
        assert_eq!(kept, is_kept);
        assert_ne!(known, learned);
    }
}
