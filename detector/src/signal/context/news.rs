//! What is new about a caller: an address, a network, a client, a delegator, a scope.
//!
//! News comes in steps and not in calls: an agent that has moved calls from its new network ever after. So an hour in
//! which an agent calls is one trial, and what is asked of it is whether it brings something new. Its chance is what
//! peers' hours brought that had known their agents for as long, times how much more or less news this agent's own hours
//! have brought than theirs (a gamma-Poisson frailty of weight 1), and no less than its own hours say. Steps are three: new at all; new and of a new kind (a
//! network, a product); and of a kind that its peers do not know either.

mod disown;

use std::net::IpAddr;

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::facts::{Fact, Facts, hour_of};
use super::{Context, Story, history};
use crate::hash::hash64_of_bytes;
use crate::ruling::Period;
use crate::stored::{Half, Row, Stored, in_order};
use crate::verdict::{CONTEXT_PARTS_MAX, Pattern};
use crate::{Call, Timestamp};

/// What about a caller may be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Network,
    UserAgent,
    Model,
    Delegator,
    Scope,
    Resource,
    Credential,
}

const TOPICS: usize = 7;
const ALL: [Topic; TOPICS] = [
    Topic::Network,
    Topic::UserAgent,
    Topic::Model,
    Topic::Delegator,
    Topic::Scope,
    Topic::Resource,
    Topic::Credential,
];

impl Topic {
    pub(super) fn pattern(self) -> Pattern {
        match self {
            Self::Network => Pattern::NewNetwork,
            Self::UserAgent => Pattern::NewUserAgent,
            Self::Model => Pattern::NewModel,
            Self::Delegator => Pattern::NewDelegator,
            Self::Scope => Pattern::NewScope,
            Self::Resource => Pattern::NewResource,
            Self::Credential => Pattern::NewCredential,
        }
    }

    /// Where its exact, broad and whole values are kept among all slots.
    fn slots(self) -> [std::ops::Range<usize>; 3] {
        match self {
            Self::Network => [0..6, 6..11, 11..13],
            Self::UserAgent => [13..16, 16..18, 0..0],
            Self::Model => [18..20, 20..22, 0..0],
            Self::Delegator => [22..26, 0..0, 0..0],
            Self::Scope => [26..32, 0..0, 0..0],
            Self::Resource => [32..37, 0..0, 0..0],
            Self::Credential => [37..40, 0..0, 0..0],
        }
    }
}

const SLOTS: usize = 40;
/// New, new of its kind, and of a kind that peers do not know.
const STEPS: usize = 3;
const CELLS: usize = TOPICS * STEPS;
/// Hours known, by the power of two: up to a year.
const BINS: usize = 14;
const HAZARDS: usize = CELLS * BINS;
/// News of each step in the n-th hour, over n, before peers say otherwise; and what their hours without any leave of it.
const PRIOR: [f64; STEPS] = [0.5, 0.2, 0.1];
/// Weight of what peers did, in news.
const FRAILTY: f64 = 1.0;
/// Chance that an hour of somebody else brings news.
const INTRUDER: f64 = 0.5;
/// So many established agents make a value known to the fleet.
const KNOWN_FROM: u32 = 2;
/// Values of the whole fleet that are told apart.
const KNOWN_MAX: usize = 65_536;
/// First sights that one version can take up.
const SIGHTS_MAX: usize = 65_536;

/// What hours of news the fleet's agents have had, by how long they were known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NewsModel {
    trials: Row<f64, HAZARDS>,
    news: Row<f64, HAZARDS>,
    /// How many established agents have each value.
    #[serde(serialize_with = "in_order")]
    known: HashMap<u64, u32, FxBuildHasher>,
}

/// What agents teach of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NewsTally {
    trials: Row<f64, HAZARDS>,
    news: Row<f64, HAZARDS>,
    sights: Vec<u64>,
}

impl NewsTally {
    /// Takes up what others have learned, and leaves them nothing.
    pub(super) fn take_up(&mut self, other: &mut Self) {
        for (own, theirs) in [(&mut self.trials, &mut other.trials), (&mut self.news, &mut other.news)] {
            own.0.iter_mut().zip(std::mem::take(theirs).0).for_each(|(own, more)| *own += more);
        }
        let room = SIGHTS_MAX.saturating_sub(self.sights.len());
        self.sights.extend(other.sights.drain(..).take(room));
    }

    pub(super) fn publish(&mut self, model: &mut NewsModel) {
        (model.trials, model.news) = (self.trials, self.news);
        for value in self.sights.drain(..) {
            if model.known.len() < KNOWN_MAX || model.known.contains_key(&value) {
                *model.known.entry(value).or_default() += 1;
            }
        }
    }
}

impl NewsModel {
    /// Chance that an hour of an agent known for `hours` hours brings news of at least this step.
    fn hazard(&self, cell: usize, hours: f64) -> f64 {
        let at = cell * BINS + bin(hours);
        (self.news.0[at] + PRIOR[cell % STEPS]) / (self.trials.0[at] + hours + 1.0)
    }

    /// One agent fewer has these values.
    fn forget(&mut self, gone: &[u32]) {
        self.known.retain(|value, agents| {
            *agents -= u32::from(gone.contains(&stored(*value)));
            *agents > 0
        });
    }

    fn knows(&self, value: u64) -> bool {
        self.known.get(&value).is_some_and(|&agents| agents >= KNOWN_FROM)
    }

    fn agents_with(&self, value: u64) -> u32 {
        self.known.get(&value).copied().unwrap_or(0)
    }
}

fn bin(hours: f64) -> usize {
    (libm::log2(hours.max(1.0)) as usize).min(BINS - 1)
}

/// What one agent is known by, and what stands out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct News {
    /// All that the last call said of its caller, in one number.
    digest: u64,
    hour: u32,
    /// Topics that were heard in this hour, and cells with news in it.
    heard: u8,
    new: u32,
    /// Hours in which each topic was heard.
    hours: Row<f32, TOPICS>,
    /// News of each cell, and how much peers would have had.
    had: Row<Half, CELLS>,
    expected: Row<Half, CELLS>,
    /// Evidence that stands of each topic, nats, and how many peers have what is new.
    standing: Row<f32, TOPICS>,
    peers: Row<Half, TOPICS>,
    /// In which values were marked last.
    period: Period,
    /// Values as 29 bits of their hashes, the latest first; 0 is none. The bits above say whether they were first seen in the
    /// period, or in the one before, and of those whether the fleet was told.
    slots: Slots,
}

const RECENT: u32 = 1 << 31;
const BEFORE: u32 = 1 << 30;
const TOLD: u32 = 1 << 29;
const VALUE: u32 = TOLD - 1;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Slots([u32; SLOTS]);

impl Default for Slots {
    fn default() -> Self {
        Self([0; SLOTS])
    }
}

impl Serialize for Slots {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0)
    }
}

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let slots = Vec::<u32>::deserialize(d)?;
        slots.try_into().map(Self).map_err(|_| serde::de::Error::custom("not so many slots"))
    }
}

impl News {
    /// See [`super::Circumstances::fetch`].
    pub(super) fn fetch(&self) -> u64 {
        self.digest
    }

    /// Whether the call may say something else of its caller than the last one, or its hour is another.
    pub(super) fn begins(&mut self, call: &Call<'_>, ts: Timestamp) -> bool {
        let (digest, hour) = (digest(call), hour_of(ts));
        let begins = digest != self.digest || hour != self.hour;
        self.digest = digest;
        begins
    }

    /// Hours in which the agent called.
    pub(super) fn hours(&self) -> f64 {
        self.hours_of(Topic::Credential)
    }

    /// Takes up what a call says and gives the evidence that stands after it, nats.
    pub(super) fn see(
        &mut self,
        facts: &Facts,
        ts: Timestamp,
        ctx: Context<'_>,
        tally: &mut NewsTally,
    ) -> f64 {
        let hour = hour_of(ts);
        if hour != self.hour {
            (self.hour, self.heard, self.new) = (hour, 0, 0);
            self.age(ts);
        }
        for fact in &facts.all {
            let topic = fact.topic as usize;
            if self.heard & (1 << topic) == 0 {
                self.try_hour(topic, ctx, tally);
            }
            let step = self.meet(fact, ctx, tally);
            // In a first hour all is new, and nothing news.
            if let (Some(step), true) = (step, self.hours.0[topic] > 1.0) {
                self.news(fact, step, ctx, tally);
            }
        }
        self.sum()
    }

    /// Another hour in which a topic is heard: a trial of all its steps.
    fn try_hour(&mut self, topic: usize, ctx: Context<'_>, tally: &mut NewsTally) {
        self.heard |= 1 << topic;
        let hours = self.hours.0[topic].get();
        if hours >= 1.0 {
            for step in 0..STEPS {
                let cell = topic * STEPS + step;
                let hazard = ctx.model.news.hazard(cell, hours);
                let chance = f64::from(self.hour.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX);
                let expected = self.expected.0[cell].get() + hazard;
                self.expected.0[cell] = Half::put_fairly(expected, chance);
                tally.trials.0[cell * BINS + bin(hours)] += 1.0;
            }
        }
        self.hours.0[topic].update(|h| h + 1.0);
    }

    /// How new a value is; from now on it is known.
    fn meet(&mut self, fact: &Fact, ctx: Context<'_>, tally: &mut NewsTally) -> Option<usize> {
        let [exact, broad, whole] = fact.topic.slots();
        let has_broad = !broad.is_empty();
        let is_new = remember(&mut self.slots.0[exact.clone()], fact.exact);
        let is_new_broad =
            if has_broad { remember(&mut self.slots.0[broad.clone()], fact.broad) } else { is_new };
        let is_new_whole =
            fact.whole.is_none_or(|whole_value| remember(&mut self.slots.0[whole], whole_value));
        if is_new_broad && ctx.is_established && tally.sights.len() < SIGHTS_MAX {
            tally.sights.push(fact.broad);
            let slots = if has_broad { broad } else { exact };
            self.slots.0[slots.start] |= TOLD;
        }
        match (is_new, is_new_broad, is_new_whole && !ctx.model.news.knows(fact.broad)) {
            (_, true, true) => Some(2),
            (_, true, false) => Some(1),
            (true, false, _) => Some(0),
            _ => None,
        }
    }

    /// Takes up news of a step, once an hour; a greater one of the same hour adds what it is rarer.
    fn news(&mut self, fact: &Fact, step: usize, ctx: Context<'_>, tally: &mut NewsTally) {
        let topic = fact.topic as usize;
        let hours = self.hours.0[topic].get() - 1.0;
        let surprise = |news: &Self, step: usize| {
            let cell = topic * STEPS + step;
            let (had, expected) = (news.had.0[cell].get(), news.expected.0[cell].get());
            let as_peers = ctx.model.news.hazard(cell, hours) * (had + FRAILTY) / (expected + FRAILTY);
            libm::log(INTRUDER / as_peers.max(had / hours)).max(0.0)
        };
        let held = (0..STEPS).rev().find(|step| self.new & (1 << (topic * STEPS + step)) != 0);
        if held.is_some_and(|held| held >= step) {
            return;
        }
        let more = surprise(self, step) - held.map_or(0.0, |held| surprise(self, held));
        self.standing.0[topic] += more.max(0.0) as f32;
        self.peers.0[topic] = Half::put(f64::from(ctx.model.news.agents_with(fact.broad)));
        for step in held.map_or(0, |held| held + 1)..=step {
            let cell = topic * STEPS + step;
            self.new |= 1 << cell;
            // Who has news all the time says less of others each time.
            let had = self.had.0[cell].get();
            tally.news.0[cell * BINS + bin(hours)] += 1.0 / (had + 1.0);
            self.had.0[cell].update(|had| had + 1.0);
        }
    }

    fn sum(&self) -> f64 {
        self.standing(ALL)
    }

    /// The evidence that stands of these topics, nats.
    pub(super) fn standing(&self, topics: impl IntoIterator<Item = Topic>) -> f64 {
        topics.into_iter().map(|topic| self.standing.0[topic as usize].get()).sum()
    }

    /// Hours in which a topic was heard, the present one among them.
    pub(super) fn hours_of(&self, topic: Topic) -> f64 {
        self.hours.0[topic as usize].get()
    }

    pub(super) fn fade(&mut self, left: f64) {
        for standing in &mut self.standing.0 {
            standing.update(|x| x * left);
        }
    }

    pub(super) fn accept(&mut self) {
        self.standing = Row::default();
        self.slots.0.iter_mut().for_each(|slot| *slot &= VALUE);
    }

    /// What the agent is known by, as broad as it is told; of resources, which come and go, nothing.
    pub(super) fn known(&self) -> Vec<(&'static str, Vec<u32>)> {
        let told = [
            (Topic::Network, "networks"),
            (Topic::UserAgent, "clients"),
            (Topic::Model, "models"),
            (Topic::Delegator, "delegators"),
            (Topic::Scope, "scopes"),
            (Topic::Credential, "kinds of credentials"),
        ];
        told.into_iter()
            .map(|(topic, name)| {
                let [exact, broad, _] = topic.slots();
                let slots = if broad.is_empty() { exact } else { broad };
                let mut values: Vec<u32> = self.slots.0[slots].iter().map(|slot| slot & VALUE).collect();
                values.retain(|value| *value != 0);
                values.sort_unstable();
                (name, values)
            })
            .collect()
    }

    /// Time goes on to `ts`.
    fn age(&mut self, ts: Timestamp) {
        let period = Period::of(ts);
        let passed = period.since(self.period);
        if passed > 0 {
            self.period = period;
            for slot in &mut self.slots.0 {
                let before = if passed == 1 && *slot & RECENT != 0 { BEFORE | *slot & TOLD } else { 0 };
                *slot = *slot & VALUE | before;
            }
        }
    }

    /// The few of these topics of which most evidence stands, in nats, strongest first.
    pub(super) fn strongest(&self, topics: &[Topic]) -> ArrayVec<(f64, Topic), CONTEXT_PARTS_MAX> {
        let mut told: ArrayVec<(f64, Topic), TOPICS> = topics
            .iter()
            .map(|&topic| (self.standing([topic]), topic))
            .filter(|(nats, _)| *nats > 0.0)
            .collect();
        told.sort_by(|a, b| b.0.total_cmp(&a.0));
        told.into_iter().take(CONTEXT_PARTS_MAX).collect()
    }

    /// One story a topic, the strongest first, and its share.
    pub(super) fn tell(
        &self,
        stories: &mut ArrayVec<(Story, f64), CONTEXT_PARTS_MAX>,
        (since, ts): (Timestamp, Timestamp),
        ctx: Context<'_>,
    ) {
        let told = self.strongest(&ALL);
        let sum: f64 = told.iter().map(|(nats, _)| nats).sum();
        for (nats, topic) in told {
            let hours = self.hours.0[topic as usize].get();
            let cell = topic as usize * STEPS;
            let had: f64 = self.had.0[cell].get();
            let story = Story {
                pattern: topic.pattern(),
                observed: self.peers.0[topic as usize].get(),
                expected: (INTRUDER * libm::exp(-nats)).clamp(0.0, 1.0),
                low: 0.0,
                high: had,
                window_ms: ts.since(since).as_millis() as u64,
                since,
                history: history(hours, hours / (hours + FRAILTY), ctx.has_peers),
            };
            stories.push((story, nats / sum));
        }
    }
}

/// A value as it is kept.
fn stored(value: u64) -> u32 {
    (value as u32 & VALUE).max(1)
}

/// Whether `value` was not among the slots; it is the first of them then.
fn remember(slots: &mut [u32], value: u64) -> bool {
    let value = stored(value);
    let at = slots.iter().position(|slot| *slot & VALUE == value);
    let end = at.unwrap_or(slots.len() - 1);
    slots[..=end].rotate_right(1);
    if at.is_none() {
        slots[0] = value | RECENT;
    }
    at.is_none()
}

/// Takes the values with one of the marks out of the slots, and gives them with all of theirs.
fn forget(slots: &mut [u32], marks: u32) -> ArrayVec<u32, SLOTS> {
    let mut gone = ArrayVec::new();
    let mut kept = 0;
    for i in 0..slots.len() {
        let slot = std::mem::take(&mut slots[i]);
        if slot & marks == 0 {
            slots[kept] = slot;
            kept += 1;
        } else {
            gone.push(slot);
        }
    }
    gone
}

fn bytes(text: Option<&str>) -> &[u8] {
    text.map_or(&[], str::as_bytes)
}

/// Everything that [`Facts`] reads, in one number.
fn digest(call: &Call<'_>) -> u64 {
    let address = call.source_ip.map(|ip| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    });
    let id = &call.identity;
    hash64_of_bytes(&[
        address.as_ref().map_or(&[], |a| &a[..]),
        bytes(call.user_agent.as_deref()),
        bytes(call.model.as_deref()),
        bytes(id.delegator.as_deref()),
        bytes(call.scope.as_deref()),
        bytes(call.resource.as_deref()),
        bytes(id.token_id.as_deref()),
        bytes(id.session_id.as_deref()),
        bytes(id.instance_id.as_deref()),
        &[call.credential.kind as u8, call.attestation.get() as u8],
    ])
}
