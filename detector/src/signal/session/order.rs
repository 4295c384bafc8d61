//! In what order sessions call: which endpoint follows which (endpoint study §1, "Y order").

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::route::Routes;
use crate::stored::in_order;

/// Calls of a session that are followed in order.
pub(super) const PATH_MAX: usize = 64;
/// Discount and strength of both levels of the Pitman-Yor mixture (study §1), and endpoints that nobody has called yet.
const DISCOUNT: f64 = 0.5;
const STRENGTH: f64 = 1.0;
const UNHEARD_OF: f64 = 10.0;
/// What a session begins with; endpoints are hashes, none of which is this.
const BEGIN: u64 = 0;
/// A step that was halved to less is forgotten.
pub(super) const LEAST: f64 = 0.05;

/// How often sessions went from one endpoint to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    #[serde(serialize_with = "in_order")]
    steps: HashMap<u64, Vec<(u64, f64)>, FxBuildHasher>,
    /// By endpoint: from how many others it is reached.
    #[serde(serialize_with = "in_order")]
    sources: HashMap<u64, u32, FxBuildHasher>,
    kinds: u32,
}

/// The steps of a session, beginning with its first call.
fn steps(path: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let from = std::iter::once(BEGIN).chain(path.iter().copied());
    from.zip(path.iter().copied())
}

impl Order {
    /// A session went this way. At most `steps_max` steps from one endpoint to another are counted, from and to a third as many
    /// endpoints; what comes later is as new as what never came.
    pub(super) fn learn(&mut self, path: &[u64], weight: f64, steps_max: usize) {
        for (from, to) in steps(path) {
            self.add(from, to, weight, steps_max);
        }
    }

    fn add(&mut self, from: u64, to: u64, weight: f64, steps_max: usize) {
        let is_full = self.kinds as usize >= steps_max;
        let has_room = |endpoints: usize| !is_full && endpoints < steps_max / 3;
        if !self.steps.contains_key(&from) && !has_room(self.steps.len()) {
            return;
        }
        let has_room = self.sources.contains_key(&to) && !is_full || has_room(self.sources.len());
        let after = self.steps.entry(from).or_default();
        match after.iter_mut().find(|(next, _)| *next == to) {
            Some((_, known)) => *known += weight,
            None if has_room => {
                after.push((to, weight));
                *self.sources.entry(to).or_default() += 1;
                self.kinds += 1;
            }
            None => {}
        }
    }

    /// Whether there is anything that it can no longer count.
    pub(super) fn is_full(&self, steps_max: usize) -> bool {
        self.kinds as usize >= steps_max || self.steps.len().max(self.sources.len()) >= steps_max / 3
    }

    #[cfg(test)]
    pub(super) fn bytes_of_tables(&self) -> usize {
        let steps: usize = self.steps.values().map(|after| after.capacity() * size_of::<(u64, f64)>()).sum();
        self.steps.allocation_size() + steps + self.sources.allocation_size()
    }

    /// Counts weigh half, and the names of paths are those of now.
    pub(super) fn halve(&mut self) {
        self.rebuild(0.5, |endpoint| endpoint);
    }

    pub(super) fn rename(&mut self, routes: &Routes) {
        self.rebuild(1.0, |endpoint| if endpoint == BEGIN { BEGIN } else { routes.now(endpoint) });
    }

    fn rebuild(&mut self, times: f64, name: impl Fn(u64) -> u64) {
        let mut old: Vec<(u64, Vec<(u64, f64)>)> = std::mem::take(self).steps.into_iter().collect();
        old.sort_unstable_by_key(|(from, _)| *from);
        for (from, after) in old {
            for (to, weight) in after.into_iter().filter(|(_, weight)| weight * times >= LEAST) {
                self.add(name(from), name(to), weight * times, usize::MAX);
            }
        }
    }

    /// The mean surprise of a step on this way, bits: of many steps, one that is new is nothing. `learned` is the weight with which the session is among the counts, 0 if
    /// it is not: it is read as if it had never been.
    pub(super) fn surprise(&self, path: &[u64], learned: f64) -> f64 {
        let without = Without::of(self, path, learned);
        let bits: f64 = steps(path).map(|(from, to)| -libm::log2(self.chance(from, to, &without))).sum();
        bits / path.len().max(1) as f64
    }

    /// The largest surprise of a step on this way, with the same left out.
    pub(super) fn largest(&self, path: &[u64], learned: f64) -> f64 {
        let without = Without::of(self, path, learned);
        steps(path).map(|(from, to)| -libm::log2(self.chance(from, to, &without))).fold(0.0, f64::max)
    }

    fn after(&self, from: u64) -> &[(u64, f64)] {
        self.steps.get(&from).map_or(&[], Vec::as_slice)
    }

    /// The chance that `to` follows `from`.
    fn chance(&self, from: u64, to: u64, without: &Without) -> f64 {
        let (mut known, mut all, mut given) = (0.0, 0.0, 0.0);
        let own = without.from(from);
        for &(next, weight) in self.after(from) {
            let weight = own.left(next, weight);
            all += weight;
            given += weight.min(DISCOUNT);
            known += if next == to { weight } else { 0.0 };
        }
        let chance = (known - DISCOUNT).max(0.0) + (STRENGTH + given) * self.reached(to, without);
        (chance / (all + STRENGTH)).clamp(1e-9, 1.0)
    }

    /// The chance that a step leads to `to`, by from how many it is reached.
    fn reached(&self, to: u64, without: &Without) -> f64 {
        let sources = self.sources.get(&to).map_or(0.0, |n| f64::from(*n)) - without.lost_to(to);
        let endpoints = self.sources.len() as f64 - without.endpoints;
        let new = (STRENGTH + DISCOUNT * endpoints) / (endpoints + UNHEARD_OF);
        ((sources - DISCOUNT).max(0.0) + new) / (f64::from(self.kinds) - without.lost.len() as f64 + STRENGTH)
    }
}

/// What one session has added.
#[derive(Default)]
struct Without {
    /// In order, so that the few from one endpoint lie together.
    steps: Vec<((u64, u64), f64)>,
    /// Steps that nobody else makes, and endpoints that nobody else reaches.
    lost: Vec<(u64, u64)>,
    endpoints: f64,
}

impl Without {
    fn of(order: &Order, path: &[u64], learned: f64) -> Self {
        let mut without = Self::default();
        if learned <= 0.0 {
            return without;
        }
        for step in steps(path) {
            match without.steps.iter_mut().find(|(known, _)| *known == step) {
                Some((_, weight)) => *weight += learned,
                None => without.steps.push((step, learned)),
            }
        }
        without.steps.sort_unstable_by_key(|(step, _)| *step);
        let counted = |(from, to): (u64, u64)| order.after(from).iter().find(|(next, _)| *next == to);
        let is_lost = |step: &(u64, u64)| {
            counted(*step).is_some_and(|(_, weight)| without.from(step.0).left(step.1, *weight) <= 0.0)
        };
        let lost: Vec<(u64, u64)> = without.steps.iter().map(|(step, _)| *step).filter(is_lost).collect();
        without.lost = lost;
        let mut ends: Vec<u64> = without.lost.iter().map(|(_, to)| *to).collect();
        ends.sort_unstable();
        ends.dedup();
        let is_gone = |to: &u64| order.sources.get(to).is_some_and(|n| f64::from(*n) <= without.lost_to(*to));
        without.endpoints = ends.iter().filter(|to| is_gone(to)).count() as f64;
        without
    }

    fn from(&self, from: u64) -> WithoutFrom<'_> {
        let begin = self.steps.partition_point(|(step, _)| step.0 < from);
        let end = begin + self.steps[begin..].partition_point(|(step, _)| step.0 == from);
        WithoutFrom(&self.steps[begin..end])
    }

    fn lost_to(&self, to: u64) -> f64 {
        self.lost.iter().filter(|step| step.1 == to).count() as f64
    }
}

/// The same of the steps from one endpoint.
struct WithoutFrom<'a>(&'a [((u64, u64), f64)]);

impl WithoutFrom<'_> {
    /// What is left of a step's weight.
    fn left(&self, to: u64, weight: f64) -> f64 {
        let own = self.0.iter().find(|(step, _)| step.1 == to).map_or(0.0, |(_, own)| *own);
        if weight - own < LEAST { 0.0 } else { weight - own }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(paths: &[&[u64]]) -> Order {
        let mut order = Order::default();
        for path in paths {
            order.learn(path, 1.0, usize::MAX);
        }
        order
    }

    #[test]
    fn what_follows_is_a_distribution_and_the_way_back_a_surprise() {
        let order = learned(&[&[1, 2, 3][..]; 30]);
        assert!(order.surprise(&[1, 2, 3], 0.0) < 0.2, "{}", order.surprise(&[1, 2, 3], 0.0));
        assert!(order.surprise(&[3, 2, 1], 0.0) > 4.0, "{}", order.surprise(&[3, 2, 1], 0.0));
        // Of the ten that nobody has called each is as likely.
        let known: f64 = (1..=3).map(|to| order.chance(1, to, &Without::default())).sum();
        let whole = known + UNHEARD_OF * order.chance(1, 99, &Without::default());
        assert!((whole - 1.0).abs() < 1e-9, "{whole}");
    }

    #[test]
    fn a_session_left_out_reads_as_if_it_had_never_been() {
        let (usual, odd) = (&[1, 2, 3][..], &[1, 3, 2][..]);
        let without = learned(&[usual; 30]);
        let with = learned(&[vec![usual; 30], vec![odd]].concat());
        let [left_out, never] = [with.surprise(odd, 1.0), without.surprise(odd, 0.0)];
        assert!((left_out - never).abs() < 1e-9, "{left_out} {never}");
    }

    #[test]
    fn halved_often_enough_it_forgets() {
        let mut order = learned(&[&[1, 2][..]]);
        for _ in 0..5 {
            order.halve();
        }
        assert_eq!(order, Order::default());
    }
}
