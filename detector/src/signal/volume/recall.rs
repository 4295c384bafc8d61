//! What is kept of an agent's volume while it is dormant, and how it begins when the agent comes back.

use serde::{Deserialize, Serialize};

use super::scale::{Kept, Scale};
use super::season::{Season, WEEK};
use super::{Context, SCALES, Volume, in_windows};
use crate::Timestamp;
use crate::stored::{Half, Row, Stored};

/// A dormant agent's means are worth one week of its own history: an hour of exposure each.
const EXPOSURE_HOURS: f64 = 1.0;

/// An agent's usual week, in 360 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Week {
    /// Calls an hour, Monday's first hour first.
    means: Row<Half, WEEK>,
    /// How counts scatter around them. Without it a burst in the first days back would be judged by the widest law there is:
    /// of one who comes back regular as before, five calls a minute in an hour that held one a night are news within five
    /// minutes, and would else be none within an hour.
    scatter: [Kept; SCALES],
}

impl<S: Stored, C: Stored> Volume<S, C> {
    /// What every hour of the week is expected to hold now, its level included: that is how the agent was last.
    pub(crate) fn week(&self, ctx: Context<'_>) -> Week {
        let (prior, scatter) = (ctx.prior(), self.scatter());
        let mean = |hour| {
            let base = self.season.base(hour, prior, scatter).per_hour;
            Half::put(base * self.level.get(base))
        };
        Week { means: Row(std::array::from_fn(mean)), scatter: self.scales.map(|scale| scale.kept()) }
    }

    /// An agent first seen again at `ts`: its week is known, and all else of it is new.
    pub(crate) fn recalled(ts: Timestamp, week: &Week, ctx: Context<'_>) -> Self {
        let mut season = Season::default();
        for (hour, mean) in week.means.0.iter().enumerate() {
            season.learn(hour, mean.get() * EXPOSURE_HOURS, EXPOSURE_HOURS);
        }
        let expected = in_windows(season.overall(ctx.prior()));
        let scales = std::array::from_fn(|k| Scale::recalled(expected[k], week.scatter[k]));
        Self::begin(ts, season, scales, ctx)
    }
}
