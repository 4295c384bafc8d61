//! The kinds of fleets: how their agents call when nobody attacks them.

use clap::ValueEnum;
use serde::Serialize;

/// A kind of fleet. The first twelve are the design study's (`volume-timing.md`, section 3), drawn anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Fleet {
    Poisson,
    Nb,
    Season,
    SeasonOu,
    Sessions,
    Hawkes,
    Cron,
    Drift,
    Grow,
    Deploy,
    Missing,
    Holiday,
    Pareto,
    #[serde(rename = "onoff")]
    #[value(name = "onoff")]
    OnOff,
    MonthEnd,
    #[serde(rename = "timezone")]
    #[value(name = "timezone")]
    TimeZone,
}

impl Fleet {
    /// The name on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        self.facts().0
    }

    /// In one line.
    pub(crate) fn about(self) -> &'static str {
        self.facts().1
    }

    /// Why an alarm in this fleet may be right although nobody attacks; `None` where every alarm is false.
    pub(crate) fn true_change(self) -> Option<&'static str> {
        match self {
            Self::Deploy => Some("each agent's rate changes once for good: an alarm then is right"),
            Self::Missing => {
                Some("the agents really fall silent eight times: a silence that is found is no mistake")
            }
            Self::TimeZone => {
                Some("working hours really move once, which is what off-hours misuse looks like")
            }
            // Idling for weeks is how an on/off agent lives: its law never changes, so waking up is no change of it.
            // Neither is the end of a month, though its past may hold none yet.
            _ => None,
        }
    }

    /// Fleets in which every alarm is false.
    pub(crate) fn quiet() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied().filter(|f| f.true_change().is_none())
    }

    fn facts(self) -> (&'static str, &'static str) {
        match self {
            Self::Poisson => ("poisson", "steady rate"),
            Self::Nb => ("nb", "rate of each minute drawn from a gamma law of shape 0.5 to 5"),
            Self::Season => ("season", "ten times as busy by day, 0.3 at weekends"),
            Self::SeasonOu => ("season_ou", "season, and a log-rate that wanders (sd 0.5, memory 1 h)"),
            Self::Sessions => ("sessions", "seasonal sessions of about 8 minutes at 1 to 20 calls a minute"),
            Self::Hawkes => ("hawkes", "seasonal, each call brings 0.7 more within minutes"),
            Self::Cron => ("cron", "1 to 5 calls every 1 to 60 minutes, a third of them a minute off"),
            Self::Drift => ("drift", "season, level walks 5 % a day and drifts up to 30 % a month"),
            Self::Grow => ("grow", "season, twice as busy every 28 days"),
            Self::Deploy => ("deploy", "season, once times 0.33, 0.5, 2 or 3 for good"),
            Self::Missing => ("missing", "season, eight outages of about 50 minutes"),
            Self::Holiday => ("holiday", "season, two weekdays at 0.3"),
            Self::Pareto => ("pareto", "sessions whose length is Pareto (2 min, exponent 1.3, at most 12 h)"),
            Self::OnOff => ("onoff", "season for 1 to 10 days, then idle for 1 to 4 weeks"),
            Self::MonthEnd => {
                ("month_end", "season, five times as busy on the last and first two days of a month")
            }
            Self::TimeZone => ("timezone", "season, hours move once by 1 h (half of them) or 3 to 8 h"),
        }
    }
}
