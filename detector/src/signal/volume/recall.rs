//! An agent that comes back, of which only its seasonal means are left.

use super::season::{Season, WEEK};
use super::{Context, Volume};
use crate::Timestamp;
use crate::stored::{Half, Row, Stored};

/// Calls that an agent makes in each hour of the week, Monday's first one first.
pub(crate) type Means = Row<Half, WEEK>;
/// A dormant agent's means are worth one week of its own history: an hour of exposure each.
const EXPOSURE_HOURS: f64 = 1.0;

impl<S: Stored, C: Stored> Volume<S, C> {
    /// What every hour of the week is expected to hold now, its level included: that is how the agent was last.
    pub(crate) fn means(&self, ctx: Context<'_>) -> Means {
        let (prior, scatter) = (ctx.prior(), self.scatter());
        Row(std::array::from_fn(|hour| {
            let base = self.season.base(hour, prior, scatter).per_hour;
            Half::put(base * self.level.get(base))
        }))
    }

    /// An agent first seen again at `ts`, new in all but its season.
    pub(crate) fn recalled(ts: Timestamp, means: &Means, ctx: Context<'_>) -> Self {
        let mut season = Season::default();
        for (hour, mean) in means.0.iter().enumerate() {
            season.learn(hour, mean.get() * EXPOSURE_HOURS, EXPOSURE_HOURS);
        }
        Self::begin(ts, season, ctx)
    }
}
