//! What is known of a session only when it is over: how far it is from the nearest kind of session, also by what it lacks.
//!
//! For ranking sessions in a replay and for nothing else: it comes too late for an alarm, and it hears longer sessions of agents that
//! nobody harmed (endpoint study §3, "f3").

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::calibration::Ends;
use super::model::{LeftOut, SessionModel};
use super::open::times;
use super::{COMPARES_FROM, Closed, Context, Seen, SessionTally, Sessions, verb};
use crate::fleet::Published;
use crate::{MicroBits, Timestamp};

/// A call that the session lacks, beside one too many (study §1, "at session close").
const MISSING: f64 = 0.15;
/// Shares of content, order and role (study §8).
const SHARES: [f64; 3] = [0.8, 0.1, 0.1];
/// What is left of a kind's weight where one session alone has shown it.
const LEAST_WEIGHT: f64 = 1e-9;
/// Sessions learned after which normal ends are worked out anew (study §8).
const EVERY: f64 = 50.0;

/// How odd a session is, were it over with the call that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oddness {
    /// When the session began.
    pub began: Timestamp,
    /// The chance that a normal session of its like ends as high as this one stands, by what it holds alone: known before the call runs.
    pub chance: f64,
    /// The bits of what it holds and of its distance from its like together, which are not independent and no chance of anything.
    pub bits: MicroBits,
}

/// How far sessions end from their like, by what the published version knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing {
    /// The version of the fleet's model, and of the names of paths, that the kinds of session are of; and what each holds, bits by harm.
    version: (u32, u32),
    whole: Vec<f64>,
    harms: HashMap<u64, f32, FxBuildHasher>,
    /// Where normal sessions end, and how many sessions had been learned then.
    ends: Ends,
    /// The same of their largest steps, and of content, order and role together.
    steps: Ends,
    sessions: Ends,
    learned: f64,
}

impl Closing {
    /// Takes up a version of the fleet's model, or that paths have other names. `tally`: what the version was made from.
    pub(crate) fn refresh(&mut self, published: &Published, tally: &SessionTally) {
        let version = (published.version, published.routes.version());
        if version == self.version {
            return;
        }
        self.version = version;
        let model = &published.sessions.fleet;
        let is_young = model.compared() < COMPARES_FROM;
        let is_due = is_young || (model.learned() - self.learned).abs() >= EVERY;
        if is_due {
            self.learned = model.learned();
            self.harms.clear();
            for seen in tally.ring.iter().flat_map(|session| &session.calls) {
                let harm = self.harms.entry(seen.endpoint).or_default();
                *harm = harm.max(seen.harm);
            }
        }
        self.whole = (0..model.templates()).map(|t| self.cost_of(model, model.template_calls(t))).collect();
        if is_due {
            let of = |session: &Closed| {
                let without =
                    LeftOut { session, template: model.template_of(session), weight: session.weight() };
                self.distance(model, &session.calls, Some(without))
            };
            self.ends = Ends::of(tally.ring.iter().map(of));
            let step = |session: &Closed| model.largest_step(&session.path, session.weight());
            self.steps = Ends::of(tally.ring.iter().map(step));
            let content = |s: &Closed| model.end_without(s, s.weight()).content;
            let arms = |s: &Closed| self.arms(model, content(s), f64::from(s.role), step(s));
            self.sessions = Ends::of(tally.ring.iter().map(arms));
        }
    }

    /// How odd the session `key` is as its latest call leaves it. None where there is nothing to compare it with.
    pub(crate) fn odd(
        &self,
        sessions: &Sessions,
        key: u64,
        model: &SessionModel,
        ctx: Context<'_>,
    ) -> Option<Oddness> {
        let live = sessions.live.get(&key).filter(|live| live.has_peers)?;
        // What its group makes of it cannot be ranked among what the fleet makes of others.
        let by_fleet = live.by.map(|_| {
            let mut open = live.open.clone();
            open.rebuild(model, ctx.declared, ctx.routes);
            open
        });
        let open = by_fleet.as_ref().unwrap_or(&live.open);
        let step = model.largest_step(open.path(), 0.0);
        let session = self.sessions.chance(self.arms(model, open.statistics(), live.role, step));
        let distance = self.ends.chance(self.distance(model, open.calls(), None));
        let bits = MicroBits::from_bits(-libm::log2(session) - libm::log2(distance));
        Some(Oddness { began: live.began, chance: live.chance, bits })
    }

    /// The unlikeliest of content, order and role, each at its share, decades (study §1, "session p").
    fn arms(&self, model: &SessionModel, content: [f64; 3], role: f64, step: f64) -> f64 {
        let chances = [model.chance(content), self.steps.chance(step), model.role_chance(role)];
        let least = chances.iter().zip(SHARES).map(|(chance, share)| chance / share).fold(1.0, f64::min);
        -libm::log10(least)
    }

    /// What it costs to lack all of it.
    fn cost_of(&self, model: &SessionModel, calls: &[(u64, u8)]) -> f64 {
        let costs = calls.iter().map(|&(endpoint, count)| {
            let harm = self.harms.get(&endpoint).copied().unwrap_or(verb::UNKNOWN);
            f64::from(harm) * -libm::log2(model.share((endpoint, harm), &[], None)) * times(count)
        });
        costs.sum()
    }

    /// From the nearest kind of session: what is too many, and at a fraction what is missing; bits by harm.
    fn distance(&self, model: &SessionModel, calls: &[Seen], without: Option<LeftOut<'_>>) -> f64 {
        let mut covered = vec![0.0; self.whole.len()];
        let mut cost = 0.0;
        for seen in calls {
            let bits =
                f64::from(seen.harm) * -libm::log2(model.share((seen.endpoint, seen.harm), &[], without));
            cost += bits * times(seen.count);
            for &(t, held) in model.holders(seen.endpoint) {
                covered[usize::from(t)] += bits * times(held.min(seen.count));
            }
        }
        // A kind that only the session left out has shown explains nothing.
        let only = without
            .and_then(|w| w.template.map(|t| (t, w.weight)))
            .filter(|&(t, weight)| model.weights()[t] - weight <= LEAST_WEIGHT);
        let others = covered
            .iter()
            .zip(&self.whole)
            .enumerate()
            .filter(|(t, _)| only.is_none_or(|(own, _)| own != *t));
        let far = |(covered, whole): (&f64, &f64)| cost - covered + MISSING * (whole - covered).max(0.0);
        others.map(|(_, pair)| far(pair)).min_by(f64::total_cmp).unwrap_or(cost)
    }
}
