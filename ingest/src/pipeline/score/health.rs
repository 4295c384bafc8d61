//! Whether the fleet keeps its budgets, told to whoever runs it.

use detector::{Detector, FleetHealth};
use metrics::gauge;
use tokio::sync::watch;

use crate::finding::{Finding, Findings};
use crate::metric;

/// Looks at the fleet's health whenever the detector has published a model, which is when it can have changed.
pub(super) struct Health {
    model: u32,
    tell: watch::Sender<Vec<FleetHealth>>,
}

impl Health {
    /// Begins with the health of a detector as it was saved; what that was is no news.
    pub(super) fn new(detector: &Detector, tell: watch::Sender<Vec<FleetHealth>>) -> Self {
        let now = detector.fleet_health();
        measure(&now);
        tell.send_replace(now);
        Self { model: detector.model(), tell }
    }

    /// Tells what is new.
    pub(super) fn look(&mut self, detector: &Detector, findings: &Findings) {
        if detector.model() == self.model {
            return;
        }
        self.model = detector.model();
        let now = detector.fleet_health();
        measure(&now);
        let before = self.tell.send_replace(now.clone());
        now.iter()
            .zip(&before)
            .filter_map(|(now, before)| change(now, before))
            .for_each(|f| findings.raise(f));
    }
}

fn measure(fleet: &[FleetHealth]) {
    for health in fleet {
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
    use std::sync::Arc;
    use std::time::Duration;

    use detector::{Call, DetectorConfig, Grade, Timestamp};

    use super::*;
    use crate::finding::Recorded;
    use crate::pipeline::score::Scorer;

    #[test]
    fn a_budget_that_is_exceeded_is_told_once_and_once_more_when_it_is_kept_again() {
        let sink = Arc::new(Recorded::default());
        let findings = Findings::new(Arc::<Recorded>::clone(&sink));
        let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), &[]));
        let (tell, told) = watch::channel(Vec::new());
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
        let step_up = |told: &watch::Receiver<Vec<FleetHealth>>| {
            told.borrow().iter().find(|health| health.grade == Grade::StepUp).cloned().unwrap()
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
