//! Recorded series of counts, played as the calls of agents: rhythms that nobody made up for a detector.

use std::cmp::Reverse;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use super::field::{self, Asked, Settings};
use super::player::START;
use super::progress::Progress;
use super::recording::{Absent, Recording, Rows};
use super::report::{Loud, SeriesReport};
use super::source::Source;

/// So many of a series' step-ups are named with their day, so that a reader can judge them.
const LOUDEST: usize = 5;

/// A series of `fixtures/series`; `fixtures/README.md` says what is known of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Series {
    DeparturesJfk,
    DeparturesLga,
    ShopOrders,
    ShopCancellations,
    Commits,
    BikeCasual,
    BikeRegistered,
    RoadTraffic,
}

/// What is known of a series.
pub(crate) struct Facts {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Why an alarm may be right although nobody attacks.
    pub(crate) true_change: &'static str,
    pub(crate) rows: Rows,
    /// One event in so many is kept: `fixtures/README.md`, to come down to about ten an hour.
    pub(crate) one_in: u32,
    /// Whom the counts are owed to, and under which licence.
    pub(crate) credit: &'static str,
    absent: Absent,
    csv_gz: &'static [u8],
}

/// What most of them have in common.
const MOST: Facts = Facts {
    name: "",
    about: "",
    true_change: "",
    rows: Rows::Minute,
    one_in: 1,
    credit: "",
    absent: Absent::None,
    csv_gz: &[],
};
const FLIGHTS: Facts = Facts {
    true_change: "storms, holidays, summer time",
    credit: "US Bureau of Transportation Statistics, from nycflights13 (CC0 1.0)",
    ..MOST
};
const SHOP: Facts = Facts {
    true_change: "closed on holidays, twice as busy before Christmas, summer time",
    credit: "Chen (2012), Online Retail II, doi:10.24432/C5CG6D (CC BY 4.0, counted by the minute)",
    ..MOST
};
const BIKES: Facts = Facts {
    true_change: "weather, holidays, hurricanes, growth, summer time",
    rows: Rows::Hour,
    credit: "Fanaee-T (2013), Bike Sharing, doi:10.24432/C5W894 (CC BY 4.0, times in UTC)",
    ..MOST
};

/// In the order of [`Series`]. A static, so that the counts are in the executable once.
static FACTS: [Facts; 8] = [
    Facts {
        name: "departures-jfk",
        about: "aircraft leaving John F. Kennedy, New York",
        csv_gz: include_bytes!("../../fixtures/series/departures-jfk.csv.gz"),
        ..FLIGHTS
    },
    Facts {
        name: "departures-lga",
        about: "aircraft leaving LaGuardia, New York",
        csv_gz: include_bytes!("../../fixtures/series/departures-lga.csv.gz"),
        ..FLIGHTS
    },
    Facts {
        name: "shop-orders",
        about: "orders of a British online shop",
        csv_gz: include_bytes!("../../fixtures/series/shop-orders.csv.gz"),
        ..SHOP
    },
    Facts {
        name: "shop-cancellations",
        about: "cancellations entered by that shop",
        csv_gz: include_bytes!("../../fixtures/series/shop-cancellations.csv.gz"),
        ..SHOP
    },
    Facts {
        name: "commits",
        about: "commits of one developer",
        true_change: "weeks off, travel, summer time",
        credit: "commits of bokeh-sampledata (declared public domain)",
        csv_gz: include_bytes!("../../fixtures/series/commits.csv.gz"),
        ..MOST
    },
    Facts {
        name: "bike-casual",
        about: "bicycles taken out in Washington, D.C., without a subscription",
        one_in: 4,
        csv_gz: include_bytes!("../../fixtures/series/bike-casual.csv.gz"),
        ..BIKES
    },
    Facts {
        name: "bike-registered",
        about: "bicycles taken out in Washington, D.C., by subscribers",
        one_in: 15,
        csv_gz: include_bytes!("../../fixtures/series/bike-registered.csv.gz"),
        ..BIKES
    },
    Facts {
        name: "road-traffic",
        about: "vehicles on Interstate 94 at Minneapolis",
        true_change: "blizzards, holidays, summer time",
        rows: Rows::Hour,
        one_in: 330,
        credit: "Hogue (2019), Metro Interstate Traffic Volume, doi:10.24432/C5X60B (CC BY 4.0, last two years)",
        absent: Absent::Lost,
        csv_gz: include_bytes!("../../fixtures/series/road-traffic.csv.gz"),
    },
];

impl Series {
    /// What is known of it.
    pub(crate) fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }
}

/// Plays one series. Each agent is a stretch of it that begins on a Monday, 00:00 UTC, and none overlaps another, so no
/// day of the recording is counted twice: at most `agents_max` agents, and `None` where the days asked for do not fit.
/// They run side by side, from the same Monday on, as each other's peers.
///
/// Hours are those of UTC, as a call's are, so a rhythm that follows a local clock moves by an hour twice a year.
pub(crate) fn run(
    series: Series,
    agents_max: usize,
    set: &Settings,
    progress: &Progress,
) -> Result<Option<SeriesReport>> {
    let facts = series.facts();
    let recording = Recording::read(facts.csv_gz, facts.rows, facts.absent)
        .with_context(|| format!("the series {} cannot be read", facts.name))?;
    let recording = Arc::new(recording);
    let stretches = recording.stretches(set.days);
    let sources: Vec<Source> = stretches
        .iter()
        .take(agents_max)
        .enumerate()
        .map(|(agent, &from)| Source::recorded(&recording, from, facts.one_in, facts.name, set.seed, agent))
        .collect();
    if sources.is_empty() {
        progress.days(u64::from(set.days));
        return Ok(None);
    }
    let (played, asked) = field::run(facts.name, sources, set, progress)?;
    let mut loud: Vec<Loud> = Vec::new();
    for (&from, asked) in stretches.iter().zip(asked) {
        let at = |asked: Asked| recording.minute(from) + asked.at.since(START);
        loud.extend(asked.into_iter().map(|a| Loud { at: at(a), level: a.level }));
    }
    loud.sort_by_key(|loud| (Reverse(loud.level), loud.at));
    loud.truncate(LOUDEST);
    Ok(Some(SeriesReport {
        series,
        about: facts.about,
        true_change: facts.true_change,
        rows: facts.rows,
        one_in: facts.one_in,
        credit: facts.credit,
        agent_days: played.agents as u64 * u64::from(played.days),
        loudest: loud,
        played,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in `fixtures/README.md`: clocks, rows and rates are those of the files that are compiled in.
    #[test]
    fn every_series_gives_agents_about_the_rate_it_is_said_to_have() {
        let a_day = [300.0, 278.0, 63.0, 11.0, 3.1, 213.0, 244.0, 240.0];
        let agents = [6, 6, 12, 12, 27, 12, 12, 12];
        for ((&series, a_day), agents) in Series::value_variants().iter().zip(a_day).zip(agents) {
            let facts = series.facts();
            let recording = Recording::read(facts.csv_gz, facts.rows, facts.absent).unwrap();
            assert_eq!(recording.stretches(56).len(), agents, "{}", facts.name);
            let days = recording.stretches(1).len() as u32 * 7;
            let events: u64 = (0..days * 24).map(|hour| u64::from(recording.hour(hour * 60))).sum();
            let found = events as f64 / f64::from(days * facts.one_in);
            assert!((found / a_day - 1.0).abs() < 0.1, "{}: {found:.1} a day", facts.name);
            assert_eq!(serde_json::to_string(&series).unwrap(), format!("\"{}\"", facts.name));
        }
    }
}
