//! How soon an attack is found: one trial, and what many of them say.

use detector::{Budgets, MicroBits, Timestamp, Verdict};
use serde::Serialize;

use super::hearing::{Grade, Lens, levels};
use super::interval::{Estimate, Spread};

/// When one lens had seen enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    /// Minutes since the attack began.
    pub(crate) minutes: f64,
    /// Calls of the agent since then, the one that told among them.
    pub(crate) calls: u64,
}

/// Listens to one attacked agent.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    from: Timestamp,
    grade: Grade,
    threshold: MicroBits,
    pub(crate) calls: u64,
    pub(crate) found: [Option<Found>; 3],
}

impl Search {
    /// An attack that began at `from` and must set off `grade`.
    pub(crate) fn new(from: Timestamp, grade: Grade, budgets: Budgets) -> Self {
        Self { from, grade, threshold: grade.threshold(budgets), calls: 0, found: [None; 3] }
    }

    /// Hears a verdict at `at`.
    pub(crate) fn hear(&mut self, verdict: &Verdict, at: Timestamp) {
        let found = Found { minutes: at.since(self.from).as_secs_f64() / 60.0, calls: self.calls };
        for (lens, level) in Lens::ALL.into_iter().zip(levels(verdict)) {
            if level >= self.threshold && !self.grade.is_withheld(verdict, lens, self.threshold) {
                self.found[lens as usize].get_or_insert(found);
            }
        }
    }

    /// Whether this lens has seen enough.
    pub(crate) fn has(&self, lens: Lens) -> bool {
        self.found[lens as usize].is_some()
    }
}

/// How one trial ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Minutes that no detector can do better than on average, where that is defined.
    pub(crate) bound: Option<f64>,
    pub(crate) found: [Option<Found>; 3],
    /// Lenses that were alarmed before the attack began; their finding it would mean nothing.
    pub(crate) busy: [bool; 3],
}

/// What trials of one attack say, through one lens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delay {
    pub(crate) attack: String,
    pub(crate) lens: Lens,
    pub(crate) grade: Grade,
    /// Agents that were attacked; an agent that was attacked on two occasions counts twice.
    pub(crate) agents: usize,
    /// Of them, left out because they were alarmed already.
    pub(crate) busy: usize,
    pub(crate) found: Estimate,
    /// Misses count as infinite.
    pub(crate) minutes: Option<Spread>,
    pub(crate) calls: Option<Spread>,
    /// Median of the bound, minutes, and delay over bound, over the agents that have one.
    pub(crate) bound_minutes: Option<f64>,
    pub(crate) ratio: Option<Spread>,
}

impl Delay {
    /// Through every lens.
    pub(crate) fn all(attack: &str, grade: Grade, outcomes: &[Outcome]) -> impl Iterator<Item = Self> {
        Lens::ALL.into_iter().map(move |lens| Self::of(attack, grade, lens, outcomes))
    }

    fn of(attack: &str, grade: Grade, lens: Lens, outcomes: &[Outcome]) -> Self {
        let free: Vec<&Outcome> = outcomes.iter().filter(|o| !o.busy[lens as usize]).collect();
        let delay = |o: &Outcome, f: fn(Found) -> f64| o.found[lens as usize].map_or(f64::INFINITY, f);
        let minutes = |o: &Outcome| delay(o, |f| f.minutes);
        let hits = free.iter().filter(|o| o.found[lens as usize].is_some()).count();
        let bounds: Vec<f64> = free.iter().filter_map(|o| o.bound).collect();
        let ratios = free.iter().filter_map(|o| Some(minutes(o) / o.bound?)).collect();
        Self {
            attack: attack.to_owned(),
            lens,
            grade,
            agents: outcomes.len(),
            busy: outcomes.len() - free.len(),
            found: Estimate::share(hits, free.len()),
            minutes: Spread::of(free.iter().map(|o| minutes(o)).collect()),
            calls: Spread::of(free.iter().map(|o| delay(o, |f| f.calls as f64)).collect()),
            bound_minutes: Spread::of(bounds).and_then(|s| s.median),
            ratio: Spread::of(ratios),
        }
    }
}

/// The rows of one lens for one attack, if it was tried.
pub(crate) fn find<'a>(delays: &'a [Delay], attack: &str, lens: Lens) -> Option<&'a Delay> {
    delays.iter().find(|d| d.attack == attack && d.lens == lens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_infinite_and_the_busy_are_left_out() {
        let outcome = |minutes: Option<f64>, busy: bool| Outcome {
            bound: Some(2.0),
            found: [minutes.map(|minutes| Found { minutes, calls: 10 }); 3],
            busy: [busy; 3],
        };
        let outcomes =
            [outcome(Some(3.0), false), outcome(None, false), outcome(Some(1.0), false), outcome(None, true)];
        let delay = Delay::of("x5", Grade::StepUp, Lens::Volume, &outcomes);
        assert_eq!((delay.agents, delay.busy), (4, 1));
        assert!((delay.found.value - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(delay.ratio.and_then(|r| r.median), Some(1.5));
        assert_eq!(delay.minutes.and_then(|m| m.p90), None);
    }
}
