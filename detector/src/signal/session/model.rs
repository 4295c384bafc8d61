//! What the sessions of all agents have held: how often each endpoint, which two together, and the kinds of session.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::calibration::Ends;
use super::open::{COUNT_MAX, Open};
use super::order::{LEAST, Order};
use super::stock::{Asked, Known, Stock};
use super::{Closed, Seen, verb};
use crate::route::{Renamed, Routes};
use crate::stored::in_order;

/// Kinds of session that are remembered; the least frequent make room (study §7: 256).
pub(super) const TEMPLATES_MAX: usize = 256;
/// Past so many sessions all counts are halved: what agents do is what they did lately (study §7: 2,000 at least).
const SESSIONS_MAX: f64 = 4_000.0;
/// Sessions with an endpoint from which it is known what goes with it.
const KNOWN_FROM: f64 = 20.0;
/// Weight of what one endpoint alone lets expect of a pair, in sessions (study §1, kap).
const PAIR_PRIOR: f64 = 5.0;
/// What is believed of an endpoint that nobody has called, in sessions; of a declared one, and of one that is not.
const NEW: f64 = 0.5;
const DECLARED: f64 = 0.7;
const UNDECLARED: f64 = 0.02;
/// Sessions with an endpoint, by weight, up to which one alone is taken to have held it.
const ONCE: f64 = 1.0;
pub(super) const CLASSES: usize = 3;

/// Whose sessions a model counts, and so how much it may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Size {
    #[default]
    Fleet,
    /// A peer group's, which has 128 KiB in all.
    Group,
}

/// Endpoints, pairs of them and steps from one to another that are counted; what comes later is as new as what never came. And calls
/// that all templates together hold.
pub(super) struct Limits {
    endpoints: usize,
    pairs: usize,
    steps: usize,
    template_calls: usize,
}

impl Size {
    const fn limits(self) -> Limits {
        match self {
            Self::Fleet => {
                Limits { endpoints: 4_096, pairs: 65_536, steps: 65_536, template_calls: usize::MAX }
            }
            // Tables grow by powers of two and are full at seven eighths.
            Self::Group => Limits { endpoints: 224, pairs: 896, steps: 768, template_calls: 1_024 },
        }
    }
}

/// A kind of session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Template {
    /// A hash of its calls.
    key: u64,
    calls: Box<[(u64, u8)]>,
    weight: f64,
}

impl Template {
    /// The same by the names that paths have now.
    fn rename(&mut self, routes: &Routes) {
        let mut calls: BTreeMap<u64, u8> = BTreeMap::new();
        for &(endpoint, count) in &self.calls {
            let known = calls.entry(routes.now(endpoint)).or_default();
            *known = (*known + count).min(COUNT_MAX);
        }
        self.key = multiset_key(calls.iter().map(|(e, n)| (*e, *n)));
        self.calls = calls.into_iter().collect();
    }
}

/// The counts, and what is made of them for scoring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionModel {
    size: Size,
    sessions: f64,
    #[serde(serialize_with = "in_order")]
    with: HashMap<u64, f64, FxBuildHasher>,
    /// The harm of endpoints that one session alone held, and how many there are of each class.
    #[serde(serialize_with = "in_order")]
    once: HashMap<u64, f32, FxBuildHasher>,
    pub(super) singles: [f64; CLASSES],
    #[serde(serialize_with = "in_order")]
    both: HashMap<u64, f64, FxBuildHasher>,
    templates: Vec<Template>,
    /// Their weights as they were published, side by side;
    weights: Vec<f64>,
    /// and what is asked of an endpoint at every call, worked out from all this once. No snapshot holds it.
    #[serde(skip)]
    stock: Stock,
    /// Where normal sessions end by pair, kernel and coverage, and by the three together.
    ends: [Ends; 3],
    all_ends: Ends,
    order: Order,
    /// Where they end by their agents' roles and by the order of their calls.
    role_ends: Ends,
    order_ends: Ends,
}

/// A session that is left out of the counts: the template that it is, if it is one, and the weight with which it was learned.
#[derive(Clone, Copy)]
pub(super) struct LeftOut<'a> {
    pub(super) session: &'a Closed,
    pub(super) template: Option<usize>,
    pub(super) weight: f64,
}

/// How often two endpoints are called in one session.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// The endpoint that was called before; 0 where there was none.
    pub(super) first: u64,
    /// Sessions with the first, with both, and with both as the second alone lets expect.
    pub(crate) with: f64,
    pub(crate) both: f64,
    pub(crate) expected: f64,
    /// How surprising the second is after the first, bits.
    pub(super) bits: f64,
}

impl SessionModel {
    pub(super) fn of_a_group() -> Self {
        Self { size: Size::Group, ..Self::default() }
    }

    /// Sessions that it has learned, by weight; past 4,000 they count half.
    pub(super) fn learned(&self) -> f64 {
        self.sessions
    }

    /// Sessions that normal ones are compared with.
    pub(crate) fn compared(&self) -> usize {
        self.all_ends.len()
    }

    /// Whether enough sessions held `endpoint` to know what goes with it.
    pub(crate) fn knows(&self, endpoint: u64) -> bool {
        self.with.get(&endpoint).is_some_and(|sessions| *sessions >= KNOWN_FROM)
    }

    /// Whether any session held `endpoint`.
    pub(super) fn counts(&self, endpoint: u64) -> bool {
        self.with.contains_key(&endpoint)
    }

    /// Whether there is anything that it can no longer count.
    pub(super) fn is_full(&self) -> bool {
        let Limits { endpoints, pairs, steps, .. } = self.size.limits();
        self.with.len() >= endpoints || self.both.len() >= pairs || self.order.is_full(steps)
    }

    pub(super) fn templates(&self) -> usize {
        self.weights.len()
    }

    /// Weights of the templates, as published.
    pub(super) fn weights(&self) -> &[f64] {
        &self.weights
    }

    pub(super) fn template_calls(&self, t: usize) -> &[(u64, u8)] {
        &self.templates[t].calls
    }

    pub(super) fn holders(&self, endpoint: u64) -> &[(u8, u8)] {
        &self.stock.of(endpoint).holders
    }

    /// How often the template `t` holds `endpoint`.
    pub(super) fn held_by(&self, t: usize, endpoint: u64) -> u8 {
        let calls = self.templates.get(t).map_or(&[][..], |template| &template.calls);
        calls.binary_search_by_key(&endpoint, |(known, _)| *known).map_or(0, |at| calls[at].1)
    }

    /// What is known of a call to `endpoint`.
    pub(super) fn asked(
        &self,
        (endpoint, harm): (u64, f32),
        declared: &[u64],
        without: Option<LeftOut<'_>>,
    ) -> Asked<'_> {
        let known = self.stock.of(endpoint);
        if declared.is_empty() && without.is_none() {
            return known.asked(class(harm));
        }
        let share = self.share((endpoint, harm), declared, without);
        Asked { share, bits: None, holders: &known.holders }
    }

    /// The template that is this session, if one is.
    pub(super) fn template_of(&self, session: &Closed) -> Option<usize> {
        let key = multiset_key(session.multiset());
        self.templates.iter().position(|t| t.key == key)
    }

    /// The share of sessions that hold `endpoint`, a call of such harm, between 0 and 1: where nothing is declared no less than the chance that
    /// a session brings one of its class that is new to all (Good and Turing; study §1, "Novelty mass").
    pub(super) fn share(
        &self,
        (endpoint, harm): (u64, f32),
        declared: &[u64],
        without: Option<LeftOut<'_>>,
    ) -> f64 {
        let less = without.map_or(0.0, |w| w.weight);
        let with = (self.with.get(&endpoint).copied().unwrap_or(0.0) - less).max(0.0);
        let with = match declared {
            [] => undeclared(with, self.singles(class(harm), without)),
            list if list.contains(&endpoint) => with + DECLARED,
            _ => with + UNDECLARED,
        };
        self.of_sessions(with, less)
    }

    /// Of how large a share of all sessions but `less` these are.
    fn of_sessions(&self, with: f64, less: f64) -> f64 {
        (with / (self.sessions - less + 1.0)).clamp(1e-9, 1.0)
    }

    /// Endpoints of a class that one session alone held.
    fn singles(&self, of: usize, without: Option<LeftOut<'_>>) -> f64 {
        let mut singles = self.singles[of];
        let Some(LeftOut { session, weight, .. }) = without.filter(|w| w.weight > 0.0) else {
            return singles;
        };
        for seen in session.calls.iter().filter(|seen| class(seen.harm) == of) {
            let with = self.with.get(&seen.endpoint).copied().unwrap_or(0.0);
            if self.once.contains_key(&seen.endpoint) {
                singles -= 1.0;
            } else if with - weight <= ONCE {
                singles += 1.0;
            }
        }
        singles.max(0.0)
    }

    pub(super) fn count_singles(&mut self) {
        self.singles = [0.0; CLASSES];
        for harm in self.once.values() {
            self.singles[class(*harm)] += 1.0;
        }
    }

    /// `second` in a session that holds `first`. What is left out holds both.
    pub(super) fn pair(&self, first: u64, second: u64, share: f64, without: Option<LeftOut<'_>>) -> Pair {
        let less = without.map_or(0.0, |w| w.weight);
        let with = (self.with.get(&first).copied().unwrap_or(0.0) - less).max(0.0);
        let both = (self.both.get(&pair_key(first, second)).copied().unwrap_or(0.0) - less).max(0.0);
        let bits = -libm::log2((both + PAIR_PRIOR * share) / (with + PAIR_PRIOR));
        Pair { first, with, both, expected: with * share, bits: bits.max(0.0) }
    }

    /// The chance that a normal session ends with statistics as high; 1 while there is nothing to compare with.
    pub(super) fn chance(&self, statistics: [f64; 3]) -> f64 {
        self.all_ends.chance(self.decades(statistics))
    }

    /// The same of the largest surprise of a call among what its agent calls,
    pub(super) fn role_chance(&self, role: f64) -> f64 {
        self.role_ends.chance(role)
    }

    /// and of a session that went this way.
    pub(super) fn order_chance(&self, path: &[u64]) -> f64 {
        self.order_ends.chance(self.order.surprise(path, 0.0))
    }

    /// The largest surprise of a step, bits; `learned` as in [`Order::surprise`].
    pub(super) fn largest_step(&self, path: &[u64], learned: f64) -> f64 {
        self.order.largest(path, learned)
    }

    fn decades(&self, statistics: [f64; 3]) -> f64 {
        self.ends.iter().zip(statistics).map(|(ends, value)| -libm::log10(ends.chance(value))).sum()
    }

    /// Learns a session with its weight.
    pub(super) fn learn(&mut self, session: &Closed) {
        let weight = session.weight();
        if weight <= 0.0 {
            return;
        }
        let limits = self.size.limits();
        self.sessions += weight;
        for (i, a) in session.calls.iter().enumerate() {
            if self.with.len() < limits.endpoints || self.with.contains_key(&a.endpoint) {
                let with = self.with.entry(a.endpoint).or_default();
                if *with <= 0.0 {
                    self.once.insert(a.endpoint, a.harm);
                } else if *with + weight > ONCE {
                    self.once.remove(&a.endpoint);
                }
                *with += weight;
            }
            for b in &session.calls[..i] {
                let key = pair_key(a.endpoint, b.endpoint);
                if self.both.len() < limits.pairs || self.both.contains_key(&key) {
                    *self.both.entry(key).or_default() += weight;
                }
            }
        }
        self.order.learn(&session.path, weight, limits.steps);
        self.learn_template(session, weight, &limits);
        if self.sessions > SESSIONS_MAX {
            self.halve();
        }
    }

    /// Bytes behind the model's tables and lists.
    #[cfg(test)]
    pub(super) fn bytes_of_tables(&self) -> usize {
        let lists = |n: usize, each: usize| n * each;
        let templates: usize = self.templates.iter().map(|t| size_of_val(&*t.calls)).sum();
        let ends = [&self.all_ends, &self.role_ends, &self.order_ends].into_iter().chain(&self.ends);
        self.with.allocation_size()
            + self.once.allocation_size()
            + size_of_val(&*self.weights)
            + self.both.allocation_size()
            + lists(self.templates.capacity(), size_of::<Template>())
            + templates
            + self.stock.bytes()
            + ends.map(Ends::bytes_of_lists).sum::<usize>()
            + self.order.bytes_of_tables()
    }

    fn learn_template(&mut self, session: &Closed, weight: f64, limits: &Limits) {
        if let Some(known) = self.template_of(session) {
            self.templates[known].weight += weight;
            return;
        }
        if self.size == Size::Group && !session.calls.iter().all(|s| self.with.contains_key(&s.endpoint)) {
            // What is not counted needs no table of who holds it.
            return;
        }
        let mut calls: usize = self.templates.iter().map(|t| t.calls.len()).sum();
        while self.templates.len() >= TEMPLATES_MAX || calls + session.calls.len() > limits.template_calls {
            let weight = |t: &usize| self.templates[*t].weight;
            let lightest = (0..self.templates.len()).min_by(|a, b| weight(a).total_cmp(&weight(b)));
            calls -= self.templates.remove(lightest.unwrap_or(0)).calls.len();
        }
        self.templates.push(Template {
            key: multiset_key(session.multiset()),
            calls: session.multiset().collect(),
            weight,
        });
    }

    /// Endpoints that are one now: it was in at least so many sessions as either.
    pub(crate) fn rename(&mut self, news: &[Renamed], routes: &Routes) {
        for &Renamed { old, new } in news {
            let Some(sessions) = self.with.remove(&old) else { continue };
            for &other in self.with.keys() {
                if let Some(both) = self.both.remove(&pair_key(old, other))
                    && other != new
                {
                    let known = self.both.entry(pair_key(new, other)).or_default();
                    *known = known.max(both);
                }
            }
            let known = self.with.entry(new).or_default();
            *known = known.max(sessions);
            let is_once = *known <= ONCE;
            if let Some(harm) = self.once.remove(&old).filter(|_| is_once) {
                self.once.insert(new, harm);
            } else if !is_once {
                self.once.remove(&new);
            }
        }
        self.count_singles();
        let mut templates: Vec<Template> = Vec::with_capacity(self.templates.len());
        for mut template in self.templates.drain(..) {
            template.rename(routes);
            match templates.iter_mut().find(|t| t.key == template.key) {
                Some(same) => same.weight += template.weight,
                None => templates.push(template),
            }
        }
        self.templates = templates;
        self.order.rename(routes);
        self.take_stock();
    }

    pub(super) fn halve(&mut self) {
        self.sessions /= 2.0;
        self.order.halve();
        self.with.values_mut().for_each(|n| *n /= 2.0);
        self.both.values_mut().for_each(|n| *n /= 2.0);
        // What has faded makes room.
        self.with.retain(|_, n| *n >= LEAST);
        self.both.retain(|_, n| *n >= LEAST);
        // What came once before the last time that counts were halved is no news of now.
        let with = &self.with;
        self.once.retain(|endpoint, _| with.get(endpoint).is_some_and(|n| *n > ONCE / 4.0));
        self.templates.iter_mut().for_each(|t| t.weight /= 2.0);
    }

    /// Takes stock: which templates hold what, and where each session of `ring` would have ended had it never been learned.
    pub(super) fn publish<'a>(&mut self, ring: impl Iterator<Item = &'a Closed>) {
        self.count_singles();
        self.take_stock();
        let ends: Vec<_> = ring.map(|session| self.end_without(session, session.weight())).collect();
        self.calibrate(ends.iter().copied());
    }

    /// Where normal sessions end.
    pub(super) fn calibrate(&mut self, ends: impl Iterator<Item = End> + Clone) {
        self.ends = std::array::from_fn(|k| Ends::of(ends.clone().map(|end| end.content[k])));
        self.all_ends = Ends::of(ends.clone().map(|end| self.decades(end.content)));
        self.role_ends = Ends::of(ends.clone().map(|end| end.role));
        self.order_ends = Ends::of(ends.map(|end| end.order));
    }

    /// Works out what is asked at every call; [`Self::count_singles`] has been called.
    pub(crate) fn take_stock(&mut self) {
        self.weights.clear();
        self.weights.extend(self.templates.iter().map(|t| t.weight));
        let known = |with| {
            let shares = self.singles.map(|singles| self.of_sessions(undeclared(with, singles), 0.0));
            Known::new(shares)
        };
        let counted = self.with.iter().map(|(endpoint, with)| (*endpoint, known(*with)));
        self.stock = Stock::new(counted, known(0.0), self.templates.iter().map(|t| &*t.calls));
    }

    /// Where a session that has been learned with `weight`, 0 if it has not, would have ended had it not been.
    pub(super) fn end_without(&self, session: &Closed, weight: f64) -> End {
        let without =
            (weight > 0.0).then(|| LeftOut { session, template: self.template_of(session), weight });
        let mut open = Open::default();
        for &Seen { endpoint, count, harm } in &session.calls {
            for _ in 0..count {
                open.call(self, endpoint, harm, &[], without);
            }
        }
        let order = self.order.surprise(&session.path, weight);
        End { content: open.statistics(), role: f64::from(session.role), order }
    }
}

/// Where a session has ended: pair, kernel and coverage; its agent's role; the order of its calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) content: [f64; 3],
    pub(super) role: f64,
    pub(super) order: f64,
}

/// Calls that read, that write, and those whose names do not say: a new one of the one kind is no new one of the other.
fn class(harm: f32) -> usize {
    match harm {
        h if h <= verb::READ => 0,
        h if h >= verb::WRITE => 1,
        _ => 2,
    }
}

/// Sessions that an undeclared endpoint is believed to be in, where so many endpoints of its class came once.
fn undeclared(with: f64, singles: f64) -> f64 {
    (with + NEW).max(singles + 1.0)
}

/// A pair of endpoints, in whichever order; these are hashes already.
fn pair_key(a: u64, b: u64) -> u64 {
    a.min(b).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ a.max(b)
}

/// Of endpoints, which are hashes already, and how often each was called.
fn multiset_key(multiset: impl Iterator<Item = (u64, u8)>) -> u64 {
    multiset.fold(0, |key: u64, (endpoint, count)| {
        (key.rotate_left(5) ^ endpoint.wrapping_add(u64::from(count))).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}
