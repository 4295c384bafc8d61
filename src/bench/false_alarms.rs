//! How often agents are bothered for nothing.

use detector::Budgets;
use serde::Serialize;

use super::field::LATE_FROM;
use super::hearing::{Counts, Ear, Grade, Lens};
use super::interval::Estimate;
use super::source::DAY;

/// Alarms of one grade through one lens, over a fleet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FalseAlarms {
    pub(crate) lens: Lens,
    pub(crate) grade: Grade,
    /// What may be for nothing through this lens, per agent in 90 days.
    pub(crate) budget_90d: f64,
    pub(crate) count: u64,
    /// Per agent in 90 days.
    pub(crate) per_90d: Estimate,
    /// The same of the agents' first two weeks alone.
    pub(crate) per_90d_early: Estimate,
    /// The same without them; `None` for runs that are no longer than these.
    pub(crate) per_90d_late: Option<Estimate>,
    /// Of the worst agent.
    pub(crate) worst: u32,
}

/// Of all agents of a fleet that ran for `days`. Intervals take alarms as independent, so they are too narrow where a
/// few agents have most of them.
pub(crate) fn summary(ears: &[&Ear], days: u32, budgets: Budgets) -> Vec<FalseAlarms> {
    let agents = ears.len() as f64;
    let late_days = days.saturating_sub(LATE_FROM / DAY);
    let early_days = days - late_days;
    let row = |lens: Lens, grade: Grade| {
        let at = |counts: &Counts| u64::from(counts[lens as usize][grade as usize]);
        let count: u64 = ears.iter().map(|e| at(&e.all)).sum();
        let late: u64 = ears.iter().map(|e| at(&e.late)).sum();
        let rate = |count, days: u32| Estimate::rate(count, agents * f64::from(days) / 90.0);
        FalseAlarms {
            lens,
            grade,
            budget_90d: lens.share() * grade.budget_90d(budgets),
            count,
            per_90d: rate(count, days),
            per_90d_early: rate(count.saturating_sub(late), early_days),
            per_90d_late: (late_days > 0).then(|| rate(late, late_days)),
            worst: ears.iter().map(|e| e.all[lens as usize][grade as usize]).max().unwrap_or(0),
        }
    };
    let row = &row;
    Lens::ALL.into_iter().flat_map(|lens| Grade::ALL.into_iter().map(move |grade| row(lens, grade))).collect()
}

/// One of them, if the run counted any.
pub(crate) fn find(rows: &[FalseAlarms], lens: Lens, grade: Grade) -> Option<&FalseAlarms> {
    rows.iter().find(|r| r.lens == lens && r.grade == grade)
}
