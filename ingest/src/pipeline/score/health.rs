//! Whether the fleet keeps its budgets, and what many of it do at once, told to whoever runs it.

use detector::{CohortIncident, Detector, FleetHealth, PeerGroupStatus};
use metrics::gauge;
use serde::Serialize;
use tokio::sync::watch;

use crate::finding::{Finding, Findings};
use crate::metric;

/// The fleet as of the detector's last publication, or as of a cohort incident since.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FleetStatus {
    /// A row for each peer group and budget.
    pub rows: Vec<FleetHealth>,
    /// What many agents began to do at once: what goes on, and the last that are over.
    pub cohorts: Vec<CohortIncident>,
    /// Which agents are compared with each other, as far as groups of them are known.
    pub groups: Vec<PeerGroupStatus>,
}

impl FleetStatus {
    fn of(detector: &Detector) -> Self {
        Self {
            rows: detector.fleet_health(),
            cohorts: detector.cohort_incidents().cloned().collect(),
            groups: detector.groups(),
        }
    }
}

/// Looks at the fleet whenever the detector has published a model, which is when its health can have changed, and when an
/// incident begins or another agent joins one.
pub(super) struct Health {
    model: u32,
    incidents: u32,
    /// Agents in the incidents that are held.
    agents: u32,
    tell: watch::Sender<FleetStatus>,
}

impl Health {
    /// Begins with the health of a detector as it was saved; what that was is no news.
    pub(super) fn new(detector: &Detector, tell: watch::Sender<FleetStatus>) -> Self {
        let now = FleetStatus::of(detector);
        measure(&now);
        tell.send_replace(now);
        let (model, incidents) = (detector.model(), detector.cohort_incidents_so_far());
        Self { model, incidents, agents: agents(detector), tell }
    }

    /// Tells what is new.
    pub(super) fn look(&mut self, detector: &Detector, findings: &Findings) {
        let (model, incidents) = (detector.model(), detector.cohort_incidents_so_far());
        let agents = agents(detector);
        if (model, incidents, agents) == (self.model, self.incidents, self.agents) {
            return;
        }
        let told = std::mem::replace(&mut self.incidents, incidents);
        (self.model, self.agents) = (model, agents);
        let now = FleetStatus::of(detector);
        measure(&now);
        let before = self.tell.send_replace(now.clone());
        now.cohorts.iter().filter(|c| c.incident > told).for_each(|c| findings.raise(c.into()));
        now.rows
            .iter()
            .zip(&before.rows)
            .filter_map(|(now, before)| change(now, before))
            .for_each(|f| findings.raise(f));
    }
}

fn agents(detector: &Detector) -> u32 {
    detector.cohort_incidents().map(|incident| incident.agents).sum()
}

fn measure(fleet: &FleetStatus) {
    let open = fleet.cohorts.iter().filter(|incident| incident.until.is_none());
    gauge!(metric::COHORTS_OPEN).set(open.count() as f64);
    for health in &fleet.rows {
        let group = health.group.as_str();
        let labels = [("group", group), ("grade", health.grade.as_str())];
        gauge!(metric::FLEET_ALARMS, &labels).set(health.alarms);
        gauge!(metric::FLEET_EXPECTED, &labels).set(health.expected);
        gauge!(metric::FLEET_P_VALUE, &labels).set(health.p_value);
        let exceeded = if health.exceeded_since.is_some() { 1.0 } else { 0.0 };
        gauge!(metric::FLEET_EXCEEDED, &labels).set(exceeded);
        gauge!(metric::FLEET_AGENT_DAYS, "group" => group).set(health.agent_days);
        for family in &health.families {
            let labels = [("group", group), ("signal", family.signal.as_str())];
            gauge!(metric::FLEET_WIDENING, &labels).set(family.widening);
        }
    }
}

fn change(now: &FleetHealth, before: &FleetHealth) -> Option<Finding> {
    let budget = format!("{} {}", now.group.as_str(), now.grade.as_str());
    match (before.exceeded_since, now.exceeded_since) {
        (None, Some(since)) => Some(Finding::BudgetExceeded { budget, since, health: now.to_string() }),
        (Some(since), None) => Some(Finding::BudgetKept { budget, since, health: now.to_string() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::finding::Recorded;
    use crate::pipeline::score::Scorer;
    use detector::{Call, DetectorConfig, Grade, Timestamp};

    #[test]
    fn a_budget_that_is_exceeded_is_told_once_and_once_more_when_it_is_kept_again() {
        let sink = Arc::new(Recorded::default());
        let findings = Findings::new(Arc::<Recorded>::clone(&sink));
        let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), &[]), NonZeroUsize::MIN);
        let (tell, told) = watch::channel(FleetStatus::default());
        let mut health = Health::new(scorer.detector(), tell);
        let start = Timestamp::from_millis(1_740_000_000_000);
        let mut call = |n: u32, ts, agent: u32, endpoint: &str| {
            scorer.step(&Call::new(format!("{n}-{agent}"), ts, format!("agent-{agent}"), endpoint));
            health.look(scorer.detector(), &findings);
        };
        // A call of each every ten minutes, as irregular as squares; at the end all but two do what none has done.
        for n in 0..450_u32 {
            for agent in 0..8 {
                let within = Duration::from_millis(u64::from(n * 8 + agent).pow(2) * 7_919 % 600_000);
                let endpoint = if n >= 420 && agent < 6 { format!("e{n}") } else { "usual".to_owned() };
                call(n, start + Duration::from_mins(10) * n + within, agent, &endpoint);
            }
        }
        let step_up = |told: &watch::Receiver<FleetStatus>| {
            told.borrow().rows.iter().find(|health| health.grade == Grade::StepUp).cloned().unwrap()
        };
        assert!(step_up(&told).exceeded_since.is_some(), "{:?}", step_up(&told));
        call(1_000, start + Duration::from_hours(24 * 200), 7, "usual");
        call(1_001, start + Duration::from_hours(24 * 200 + 2), 7, "usual");
        assert_eq!(step_up(&told).exceeded_since, None);
        let told = sink.texts();
        insta::assert_snapshot!(told.join("\n"), @r"
        the fleet raised 6.0 step-ups in 22 agent-days where the budget allows 0.2 (volume 0.0, timing 0.0, endpoint 6.0, context 0.0; chance brings those of all but the agent that raised most in 0.01 % of cases); until no more come than that, tails of volume and timing that raise them are read as wider
        the fleet raised 0.0 step-ups in 0 agent-days where the budget allows 0.0 (volume 0.0, timing 0.0, endpoint 0.0, context 0.0; chance brings those of all but the agent that raised most in 100.00 % of cases); the budget was exceeded since 2025-02-22T20:00:00Z, and what was widened for it is narrowed again
        ");
    }
}
