//! Endpoint: does this agent call what it calls?
//!
//! Every call is a likelihood ratio between an intruder, who picks any endpoint the fleet knows (or a new one) alike,
//! and this agent, whose choice is predicted by a Pitman-Yor mixture of its own past with the fleet's. The ratios add
//! up in a CUSUM: single odd calls of a busy agent are forgiven, several in a row are not. By Lorden (1971) a CUSUM of
//! likelihood ratios crosses h bits on normal calls at most once in 2^h calls, which is what turns it into a recurrence.

mod counts;
mod slots;
#[cfg(test)]
mod tests;

use std::f64::consts::LN_2;

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use self::slots::{SLOTS, Slots};
use super::session::{self, Drift, Ended, SessionModel};
use super::tail::{Group, PeerTail, Rule, Tail};
use super::{Alarm, Evidence, Story, Strength, history};
use crate::route::{Renamed, Routes};
use crate::ruling::Reach;
use crate::stored::{Half, in_order};
use crate::verdict::Pattern;
use crate::{History, Timestamp};

/// Discount and strength of the agent's Pitman-Yor level (study §1 "A role"), and of the fleet's ("Y order").
const DISCOUNT: f64 = 0.5;
const STRENGTH: f64 = 2.0;
const FLEET_STRENGTH: f64 = 1.0;
/// Share of a declared list in the base distribution, spread evenly over it; what is left is the fleet's.
const DECLARED_SHARE: f64 = 0.9;
/// Evidence halves in this time, for a signal without time of its own (volume-timing study §5: 6-24 h).
const HALF_LIFE_DAYS: f64 = 0.5;
/// Weight with which a call under suspicion is learned (endpoint study §6, "soft, floor .1").
const SUSPECT_WEIGHT: f32 = 0.1;
/// Where an excursion of the CUSUM begins, nats, as for volume; and within what time its tail settles.
const FOREIGN: Group = Group { threshold: 2.0, never_days: 0.0, groups: 1.0 };
const SETTLES_DAYS: f64 = 14.0;
/// What all that an agent called before a deploy weighs after it, in calls; and sessions for which it has no peers then, as many as
/// make a kind of them (`session`).
const ADOPTED_CALLS: f32 = 64.0;
const APART_SESSIONS: u8 = 20;
/// Endpoints of the whole fleet that are told apart; past it a newcomer counts as never seen.
const FLEET_ENDPOINTS_MAX: usize = 65_536;

/// How many agents have called each endpoint. An agent counts once for each, so none teaches the fleet more than that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndpointModel {
    #[serde(serialize_with = "in_order")]
    agents: HashMap<u64, u32, FxBuildHasher>,
    total: u64,
}

impl EndpointModel {
    /// An agent has called this endpoint for the first time.
    pub(crate) fn add(&mut self, endpoint: u64) {
        if self.agents.len() < FLEET_ENDPOINTS_MAX || self.agents.contains_key(&endpoint) {
            *self.agents.entry(endpoint).or_default() += 1;
            self.total += 1;
        }
    }

    /// Two endpoints are one: at least so many agents have called it as called either.
    pub(crate) fn rename(&mut self, Renamed { old, new }: Renamed) {
        if let Some(agents) = self.agents.remove(&old) {
            let known = self.agents.entry(new).or_default();
            self.total -= u64::from(agents.min(*known));
            *known = agents.max(*known);
        }
    }

    fn known(&self) -> f64 {
        self.agents.len() as f64
    }

    /// Chance that an agent's next new endpoint is this one; for one nobody has called, that it is any such.
    fn share(&self, endpoint: u64) -> f64 {
        let whole = self.total as f64 + FLEET_STRENGTH;
        match self.agents.get(&endpoint) {
            Some(&agents) => (f64::from(agents) - DISCOUNT) / whole,
            None => (FLEET_STRENGTH + DISCOUNT * self.known()) / whole,
        }
    }
}

/// One agent's endpoints and the evidence of its latest calls. About 580 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    slots: Slots,
    /// The names of paths by which the slots are kept, see [`Routes::version`].
    routes: u32,
    learned: u32,
    /// The CUSUM after the last call, in bits, ≥ 0.
    sum: f64,
    last: Timestamp,
    /// When the CUSUM last left zero: where the deviation began.
    since: Timestamp,
    /// Sessions begun, the latest of them, and how unusual they were.
    sessions: u32,
    session: u64,
    /// How many of those that ended calibrate though they were unusual.
    odd: u32,
    /// Sessions for which it has no peers, since it was changed on purpose.
    apart: u8,
    unfitting: Tail<f32>,
    drift: Drift,
    /// How high its CUSUM rose when nothing was wrong.
    foreign: Tail<Half>,
}

/// What a call is read against.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) model: &'a EndpointModel,
    /// How high peers' CUSUMs rose.
    pub(crate) tail: &'a PeerTail,
    /// Endpoints that the agent's manifest declares.
    pub(crate) declared: &'a [u64],
    /// When the agent was first seen.
    pub(crate) born: Timestamp,
    pub(crate) calls_per_day: f64,
    pub(crate) has_peers: bool,
    /// Where a person is asked.
    pub(crate) alarm: Alarm,
}

impl Endpoints {
    /// An agent first seen at `ts`.
    pub(crate) fn new(ts: Timestamp) -> Self {
        Self {
            slots: Slots::default(),
            routes: 0,
            learned: 0,
            sum: 0.0,
            last: ts,
            since: ts,
            sessions: 0,
            odd: 0,
            apart: 0,
            session: 0,
            unfitting: Tail::default(),
            foreign: Tail::default(),
            drift: Drift::default(),
        }
    }

    /// A number of every cache line that a call may read; see [`crate::profile::Profile::fetch`].
    pub(crate) fn fetch(&self) -> u64 {
        let endpoints =
            self.slots.endpoints().iter().step_by(8).fold(self.session, |all, endpoint| all ^ endpoint);
        self.slots.calls.iter().step_by(16).fold(endpoints, |all, calls| all ^ u64::from(calls.to_bits()))
            ^ self.drift.fetch()
    }

    /// Takes up what paths are called now: what the agent called by several keys that are one was called as often as all.
    pub(crate) fn follow(&mut self, routes: &Routes) {
        if self.routes == routes.version() {
            return;
        }
        self.routes = routes.version();
        self.slots = std::mem::take(&mut self.slots).renamed(|endpoint| routes.now(endpoint));
    }

    /// What it calls more than under suspicion alone.
    pub(crate) fn habitual(&self) -> Vec<u64> {
        self.slots.iter().filter(|(_, calls)| *calls >= 1.0).map(|(endpoint, _)| endpoint).collect()
    }

    /// What it calls, by its share, the largest first.
    pub(crate) fn shares(&self) -> Vec<(u64, f64)> {
        let whole: f64 = self.slots.iter().map(|(_, calls)| f64::from(calls)).sum();
        let mut shares: Vec<_> = self.slots.iter().map(|(e, calls)| (e, f64::from(calls) / whole)).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        shares
    }

    /// Chance that this agent's next call is to `endpoint`.
    fn predict(&self, endpoint: u64, model: &EndpointModel, declared: &[u64]) -> f64 {
        let mut base = model.share(endpoint);
        if !declared.is_empty() {
            let hit = if declared.contains(&endpoint) { 1.0 / declared.len() as f64 } else { 0.0 };
            base = DECLARED_SHARE * hit + (1.0 - DECLARED_SHARE) * base;
        }
        let own = (self.slots.calls(endpoint) - DISCOUNT).max(0.0);
        // What the seen endpoints give up, exactly: those learned at less than the discount give up only what they have.
        let given: f64 = self.slots.calls.iter().map(|calls| f64::from(*calls).min(DISCOUNT)).sum();
        let seen: f64 = self.slots.calls.iter().map(|calls| f64::from(*calls)).sum();
        (own + (STRENGTH + given) * base) / (seen + STRENGTH)
    }

    /// Chance under an intruder: every endpoint the fleet knows alike, and one that nobody has called. Until a first
    /// version of the fleet is published, what the agent itself has called is all that is known.
    fn intruder(&self, model: &EndpointModel) -> f64 {
        1.0 / (model.known().max(self.slots.endpoints().len() as f64) + 1.0)
    }

    fn history(&self, ctx: Context<'_>) -> History {
        let calls = f64::from(self.learned);
        history(calls, calls / (calls + STRENGTH), ctx.has_peers)
    }

    fn faded(&self, ts: Timestamp) -> f64 {
        if self.sum <= 0.0 {
            return 0.0;
        }
        self.sum * 0.5_f64.powf(ts.since(self.last).as_secs_f64() / 86_400.0 / HALF_LIFE_DAYS)
    }

    /// Scores one call before it is learned. Its peers learn from `tail` how high its sum rises while nothing is wrong.
    pub(crate) fn score(
        &mut self,
        ts: Timestamp,
        endpoint: u64,
        ctx: Context<'_>,
        tail: &mut PeerTail,
    ) -> Evidence {
        let share = self.predict(endpoint, ctx.model, ctx.declared);
        let before = self.faded(ts);
        if before <= 0.0 {
            self.since = ts;
        }
        let strength_before = self.strength(before, ts, ctx);
        self.sum = (before + libm::log2(self.intruder(ctx.model) / share)).max(0.0);
        self.last = self.last.max(ts);
        self.foreign.raise(self.sum * LN_2, FOREIGN);
        if self.foreign.ends(self.sum * LN_2, FOREIGN) {
            self.end_excursion(ts, ctx, tail);
        }
        Evidence {
            before: strength_before,
            now: self.strength(self.sum, ts, ctx),
            story: Story {
                pattern: if self.sum > 0.0 { Pattern::Foreign } else { Pattern::AsUsual },
                observed: 1.0,
                expected: share,
                low: 0.0,
                high: 1.0,
                window_ms: ts.since(self.since).as_millis() as u64,
                since: self.since,
                history: self.history(ctx),
            },
        }
    }

    fn end_excursion(&mut self, ts: Timestamp, ctx: Context<'_>, tail: &mut PeerTail) {
        let alarm = self.foreign_rule(ts, ctx).evidence_once_in(ctx.alarm.days);
        self.foreign.end_among(tail, FOREIGN, alarm);
    }

    fn foreign_rule(&self, ts: Timestamp, ctx: Context<'_>) -> Rule {
        let days = days(ctx.born, ts);
        let group = Group { never_days: libm::exp(FOREIGN.threshold) / ctx.calls_per_day, ..FOREIGN };
        self.foreign.rule(group, days, libm::exp(-days / SETTLES_DAYS), ctx.tail)
    }

    /// How evidence of a session of this agent, first seen when it was `born`, translates at `ts`, among such peers.
    pub(crate) fn session_rule(&self, (born, ts): (Timestamp, Timestamp), peers: &PeerTail) -> Rule {
        let (days, group) = self.session_group(born, ts);
        self.unfitting.rule(group, days, 0.0, peers)
    }

    /// A session of this agent ended. `alarm_days`: how often a person may be asked for nothing.
    pub(crate) fn session_ended(
        &mut self,
        ended: &Ended,
        alarm_days: f64,
        (born, ts): (Timestamp, Timestamp),
        peers: &mut PeerTail,
    ) {
        if let Some(chances) = ended.chances {
            self.drift.learn(chances, ended.began);
        }
        self.odd = self.odd.saturating_add(u32::from(ended.is_odd));
        let Some(evidence) = ended.evidence else { return };
        let (_, group) = self.session_group(born, ts);
        let alarm = self.session_rule((born, ts), peers).evidence_once_in(alarm_days);
        self.unfitting.raise(evidence, group);
        self.unfitting.end_among(peers, group, alarm);
    }

    /// Whether the agent's present session is one that teaches others: as a fixed share of all of them.
    pub(crate) fn samples_session(&self, born: Timestamp, ts: Timestamp) -> bool {
        let days = days(born, ts) + 1.0;
        let one_in = libm::ceil(f64::from(self.sessions) / days / session::TEACHES_PER_DAY).max(1.0);
        self.sessions.is_multiple_of(one_in as u32)
    }

    /// Whether one more unusual session that calibrates would be no more than a normal agent has.
    pub(crate) fn may_have_odd_sessions(&self) -> bool {
        f64::from(self.odd) + 1.0 <= f64::from(self.sessions) * session::ODD_SHARE
    }

    fn session_group(&self, born: Timestamp, ts: Timestamp) -> (f64, Group) {
        (days(born, ts), session::group(self.sessions_per_day(born, ts)))
    }

    fn sessions_per_day(&self, born: Timestamp, ts: Timestamp) -> f64 {
        (f64::from(self.sessions) + 1.0) / (days(born, ts) + 1.0)
    }

    /// What a drift of this agent's sessions has to say at `ts`.
    pub(crate) fn drift(&self, born: Timestamp, ts: Timestamp) -> Option<Evidence> {
        self.drift.stand(ts, self.sessions_per_day(born, ts))
    }

    /// Whether its sessions are drifting so far that they are no example to others; see [`Drift::is_under_way`].
    pub(crate) fn is_drifting(&self, born: Timestamp, alarm_days: f64) -> bool {
        self.drift.is_under_way(alarm_days, self.sessions_per_day(born, self.last))
    }

    /// A session of this agent, one of those that say what it is, has called these.
    pub(crate) fn count_session(&mut self, called: &[u64]) {
        let at: ArrayVec<usize, SLOTS> =
            called.iter().filter_map(|endpoint| self.slots.at(*endpoint)).take(SLOTS).collect();
        self.slots.sessions.count(at.into_iter());
    }

    /// The last sessions that were counted, and in how many of them each endpoint was called.
    pub(crate) fn counted_sessions(&self) -> (u8, impl Iterator<Item = (u64, u8)>) {
        let Slots { sessions, .. } = &self.slots;
        let counts =
            self.slots.endpoints().iter().enumerate().map(|(at, endpoint)| (*endpoint, sessions.of(at)));
        (sessions.all(), counts.filter(|(_, sessions)| *sessions > 0))
    }

    /// Whether most of what this agent has called is what others' sessions hold: an agent of a kind of its own has no peers.
    pub(crate) fn has_peers(&self, model: &SessionModel) -> bool {
        let calls = |is_known: bool| {
            let slots = self.slots.iter().filter(|(endpoint, _)| model.knows(*endpoint) == is_known);
            slots.map(|(_, calls)| calls).sum::<f32>()
        };
        self.apart == 0 && calls(true) > calls(false)
    }

    /// The agent's latest session, and whether it has just begun.
    pub(crate) fn is_in(&mut self, session: u64, begins: bool) {
        self.session = session;
        self.sessions = self.sessions.saturating_add(u32::from(begins));
        self.apart = self.apart.saturating_sub(u8::from(begins));
    }

    /// The agent's latest session.
    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// How often a day the CUSUM of an agent that makes so many calls stands so high: by Lorden's bound, and no more seldom than
    /// its own excursions say. The bound takes calls for independent, and those of a task are not.
    fn strength(&self, bits: f64, ts: Timestamp, ctx: Context<'_>) -> Strength {
        if bits <= 0.0 {
            return Strength::CALM;
        }
        let bound = Strength::new(bits, ctx.calls_per_day);
        if bits * LN_2 <= FOREIGN.threshold {
            return bound;
        }
        let seen = self.foreign_rule(ts, ctx).strength(bits * LN_2);
        if seen.level() < bound.level() { seen } else { bound }
    }

    /// The evidence that is left at `ts`, without another call.
    pub(crate) fn stand(&self, ts: Timestamp, ctx: Context<'_>) -> Evidence {
        let bits = self.faded(ts);
        let now = self.strength(bits, ts, ctx);
        let since = if bits > 0.0 { self.since } else { ts };
        Evidence {
            before: now,
            now,
            story: Story {
                pattern: if bits > 0.0 { Pattern::Foreign } else { Pattern::AsUsual },
                observed: 0.0,
                expected: 0.0,
                low: 0.0,
                high: 1.0,
                window_ms: ts.since(since).as_millis() as u64,
                since,
                history: self.history(ctx),
            },
        }
    }

    /// How likely the call at `ts`, just scored at `share`, would have had to be for the evidence to end at `level`, between 0 and 1:
    /// at the higher of what the bound and the agent's own excursions allow.
    pub(crate) fn quiet_share(&self, ts: Timestamp, share: f64, level: f64, ctx: Context<'_>) -> f64 {
        let seen = self.foreign_rule(ts, ctx).evidence_once_in(libm::exp2(level)) / LN_2;
        let allowed = (level + libm::log2(ctx.calls_per_day)).max(seen);
        (share * libm::exp2(self.sum - allowed)).clamp(0.0, 1.0)
    }

    /// Learns one call; a suspect one at a tenth of its weight. True if the agent has not called the endpoint before.
    pub(crate) fn learn(&mut self, endpoint: u64, suspect: bool) -> bool {
        let weight = if suspect { SUSPECT_WEIGHT } else { 1.0 };
        self.learned = self.learned.saturating_add(1);
        self.slots.age(self.last);
        self.slots.add(endpoint, weight)
    }

    /// A person ruled the present evidence benign: it is dropped, and what was learned under suspicion counts in full, or of that the
    /// endpoint of the one act that was let go on.
    pub(crate) fn accept(&mut self, ts: Timestamp, act: Option<u64>, ctx: Context<'_>, tail: &mut PeerTail) {
        if self.foreign.is_out() {
            self.end_excursion(ts, ctx, tail);
        }
        self.sum = 0.0;
        if let Some(act) = act {
            self.drift.disown();
            self.slots.keep(act);
        } else {
            self.drift.accept();
            for calls in &mut self.slots.calls {
                *calls = calls.max(1.0);
            }
            self.slots.settle();
        }
    }

    /// The agent was changed on purpose: what it called before weighs no more than a short past does, what it has first called
    /// lately as much as its like, and its sessions are compared with others' once it has had some.
    pub(crate) fn adopt(&mut self) {
        self.foreign.forget();
        (self.sum, self.drift, self.apart) = (0.0, Drift::default(), APART_SESSIONS);
        let (whole, n) = (self.slots.calls.iter().sum::<f32>(), self.slots.calls.len() as f32);
        let (scale, like) = ((ADOPTED_CALLS / whole).min(1.0), ADOPTED_CALLS / n.max(1.0));
        let lately = self.slots.recent | self.slots.before;
        for (i, calls) in self.slots.calls.iter_mut().enumerate() {
            let least = if lately & (1 << i) != 0 { like } else { 1.0 };
            *calls = (*calls * scale).max(least);
        }
        self.slots.settle();
    }

    /// Since when something stands out at `ts`, where it does.
    pub(crate) fn stands_since(&self, ts: Timestamp) -> Option<Timestamp> {
        (self.faded(ts) > 0.0).then_some(self.since)
    }

    /// What stood out was not the agent, and what was first called within `reach` is not its own.
    pub(crate) fn disown(&mut self, ts: Timestamp, reach: Reach) {
        self.foreign.forget();
        self.sum = 0.0;
        self.drift.disown();
        self.slots.age(ts);
        self.slots.forget(reach);
        self.slots.settle();
    }
}

/// For how long an agent has been known.
fn days(born: Timestamp, ts: Timestamp) -> f64 {
    ts.since(born).as_secs_f64() / 86_400.0
}
