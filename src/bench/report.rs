//! All that was measured, as it stands in `detection.json`.

use detector::{Budgets, MicroBits, Timestamp};
use serde::Serialize;

use super::baseline::{Rival, RivalDelay};
use super::cohort::CohortReport;
use super::context::ContextReport;
use super::delay::Delay;
use super::false_alarms::FalseAlarms;
use super::fleet::Fleet;
use super::groups::GroupsReport;
use super::interval::{Estimate, poisson_upper};
use super::recording::Rows;
use super::series::Series;
use super::sessions::SessionsReport;
use super::timing::TimingReport;
use super::young::YoungReport;

const DAYS_A_YEAR: f64 = 365.25;

/// The whole of it. Holds nothing that differs between two runs of the same seed and version.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    pub(crate) seed: u64,
    /// Of fleets and series; the other parts are watched under the default ones.
    pub(crate) budgets: Budgets,
    pub(crate) fleets: Vec<FleetReport>,
    pub(crate) series: Vec<SeriesReport>,
    pub(crate) timing: Vec<TimingReport>,
    pub(crate) young: Vec<YoungReport>,
    pub(crate) context: Vec<ContextReport>,
    pub(crate) cohort: Option<CohortReport>,
    pub(crate) groups: Vec<GroupsReport>,
    pub(crate) sessions: Option<SessionsReport>,
    pub(crate) revokes: Option<RevokesReport>,
}

/// One fleet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FleetReport {
    pub(crate) fleet: Fleet,
    pub(crate) about: &'static str,
    /// Why an alarm may be right although nobody attacks.
    pub(crate) true_change: Option<&'static str>,
    #[serde(flatten)]
    pub(crate) played: Played,
}

/// A recorded series, each stretch of it an agent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SeriesReport {
    pub(crate) series: Series,
    pub(crate) about: &'static str,
    /// Why an alarm may be right although nobody attacks.
    pub(crate) true_change: &'static str,
    /// What a row of it counted.
    pub(crate) rows: Rows,
    /// One event in so many became a call.
    pub(crate) one_in: u32,
    pub(crate) credit: &'static str,
    pub(crate) agent_days: u64,
    #[serde(flatten)]
    pub(crate) played: Played,
    /// The step-ups with the highest levels, highest first.
    pub(crate) loudest: Vec<Loud>,
}

/// A step-up that a reader may judge.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Loud {
    /// On the recording's own clock, in UTC.
    pub(crate) at: Timestamp,
    /// The highest of the day that followed.
    pub(crate) level: MicroBits,
}

/// What was measured on the agents of a fleet or a series.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Played {
    pub(crate) agents: usize,
    pub(crate) days: u32,
    /// Calls of the fleet itself, those of attacked copies not counted.
    pub(crate) calls: u64,
    /// What was alarmed although nobody attacks; where something changes for true, it may have been right.
    pub(crate) false_alarms: Vec<FalseAlarms>,
    /// What many agents began at once, each told once.
    pub(crate) cohort_incidents: u32,
    pub(crate) rivals: Vec<Rival>,
    pub(crate) delays: Vec<Delay>,
    pub(crate) rival_delays: Vec<RivalDelay>,
}

/// False revocations over many agent-years.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RevokesReport {
    /// What was run.
    pub(crate) mix: String,
    pub(crate) agent_years: f64,
    pub(crate) count: u64,
    /// Per agent in ten years.
    pub(crate) per_10_years: Estimate,
    /// What it is below with 95 % confidence.
    pub(crate) per_10_years_upper: f64,
    /// Levels over the budget, per agent in ten years.
    pub(crate) levels_per_10_years: Estimate,
    pub(crate) by_fleet: Vec<RevokesOf>,
}

/// The share of one fleet in it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RevokesOf {
    pub(crate) fleet: Fleet,
    pub(crate) agent_years: f64,
    pub(crate) count: u64,
    /// Of the worst agent.
    pub(crate) worst: u32,
    /// How often the level alone was over the budget; no second witness spoke for most of these.
    pub(crate) levels: u64,
}

impl RevokesReport {
    /// Sums up.
    pub(crate) fn of(mix: String, by_fleet: Vec<RevokesOf>) -> Self {
        let agent_years = by_fleet.iter().map(|f| f.agent_years).sum::<f64>();
        let count = by_fleet.iter().map(|f| f.count).sum();
        let decades = agent_years / 10.0;
        Self {
            mix,
            agent_years,
            count,
            per_10_years: Estimate::rate(count, decades),
            per_10_years_upper: poisson_upper(count) / decades,
            levels_per_10_years: Estimate::rate(by_fleet.iter().map(|f| f.levels).sum(), decades),
            by_fleet,
        }
    }
}

/// So many agents for so many days.
pub(crate) fn agent_years(agents: usize, days: u32) -> f64 {
    agents as f64 * f64::from(days) / DAYS_A_YEAR
}

/// How many agents it takes for so many years in so many days.
pub(crate) fn agents_for(years: f64, days: u32) -> usize {
    (years * DAYS_A_YEAR / f64::from(days)).ceil() as usize
}
