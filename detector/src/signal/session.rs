//! Sessions: does what an agent calls in one session go together, by what its peers' sessions hold?
//!
//! A hijacked agent seldom calls faster or anything unheard of; it calls what does not belong to its task. Three statistics
//! say so before the call runs (endpoint study §1): the most surprising pair of endpoints, the surprise under a mixture of
//! the sessions that were seen, and what the nearest of them lacks. None of them ever falls, so where normal sessions end
//! calibrates them at every call. Names tell reading from writing: harm weighs more.

mod calibration;
mod close;
mod drift;
mod group;
mod model;
mod names;
mod open;
mod order;
mod ruled;
mod stock;
mod tally;
#[cfg(test)]
mod tests;
mod verb;

use std::time::Duration;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

pub(crate) use self::close::Closing;
pub use self::close::Oddness;
pub(crate) use self::drift::Drift;
pub(crate) use self::group::GroupModel;
use self::model::Pair;
pub(crate) use self::model::SessionModel;
use self::names::Names;
use self::open::{COUNT_MAX, Open};
use self::ruled::{Ruling, Standing};
pub(crate) use self::tally::SessionTally;
use super::endpoint::Endpoints;
use super::tail::{Group, Rule};
use super::{Alarm, Evidence, Story, history};
use crate::hash::hash64;
use crate::lane::LANES;
use crate::ln::octaves_of;
use crate::peers::{GroupId, Peers};
use crate::profile::Key;
use crate::route::Routes;
use crate::stored::in_order;
use crate::verdict::Pattern;
use crate::{Call, Timestamp};

/// A session ends when its agent has not called in it for so long (study §8), or says that its task is over;
const IDLE: Duration = Duration::from_mins(15);
/// and one that never pauses ends after so long, that it be compared with its like.
const LONGEST: Duration = Duration::from_hours(4);
/// What a log calls no session is one only for want of a better word; an agent that never rests would have few and long ones, which
/// stand out among short ones by their length alone. So it ends after so many calls.
const UNNAMED_CALLS_MAX: u32 = 16;
/// How often idle sessions are looked for.
const SWEEP: Duration = Duration::from_mins(1);
/// Endpoints that one session is told by.
const DISTINCT_MAX: usize = 64;
/// Sessions under way at once in one lane; beyond, new ones are not looked at.
const OPEN_MAX: usize = 32_768 / LANES;
/// Closed sessions of one lane that the next version may learn from, and the normal ones that calibrate it (study §8).
const CLOSED_MAX: usize = 4_096 / LANES;
const RING: usize = 512;
/// A session that one in ten normal ones ends like is as usual; what is rarer is an excursion, in nats.
const UNUSUAL: f64 = 0.1;
const THRESHOLD: f64 = std::f64::consts::LN_10;
/// Sessions from which normal ones are well enough known: what is beyond all of them is extrapolated, and newcomers' teach
/// nothing more. Below, no session is rarer than one in so many (study §3: 100 to 150).
pub(crate) const COMPARES_FROM: usize = 150;
/// Sessions of one lane that a person was asked about and that wait for the answer; the oldest makes room.
const PENDING_MAX: usize = 1_024 / LANES;
/// Sessions as unusual as the first calibrate only as far as they are such a share of their agent's, or an attack that is repeated would
/// calibrate itself (study §6, alpha). The share is larger than theirs among normal ones: with the same, what was once cut off
/// stays so. Without any, each ring would cut the tail of the one before, and a fleet whose sessions vary was asked about more of them
/// every week.
const CALIBRATES_FROM: f64 = 0.01;
pub(super) const ODD_SHARE: f64 = 0.03;
/// Of an agent that has more sessions a day one in so many teaches (in its first days up to twice as many), or the few busiest would be what all are compared with (study §7: no
/// agent owns the table).
pub(super) const TEACHES_PER_DAY: f64 = 48.0;
/// A session this usual teaches in full, and none under a tenth of that teaches at all (study §6).
const TEACHES_FULLY_FROM: f64 = 0.05;
const WEIGHT_MIN: f64 = 0.1;

/// How often a session has called an endpoint, up to a few, and what harm that may do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    endpoint: u64,
    count: u8,
    harm: f32,
}

/// A session that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Closed {
    calls: Box<[Seen]>,
    /// Its first calls in order,
    path: Box<[u64]>,
    /// and the largest surprise of one among what its agent calls, bits by harm.
    role: f32,
    /// The chance that a normal session ends as it did.
    chance: f64,
    /// Whether it calibrates though it be unusual.
    may_be_odd: bool,
    /// The peer group that it teaches beside the fleet.
    group: Option<GroupId>,
    /// What is left in the fleet's counts of its weight, since these were halved.
    left: f64,
}

impl Closed {
    /// Whether it is among those that say where normal sessions end.
    fn calibrates(&self) -> bool {
        self.chance > CALIBRATES_FROM || self.may_be_odd
    }

    /// What it teaches: an attack that is repeated must not become what is normal (study §6, "soft, floor .1").
    fn weight(&self) -> f64 {
        let weight = (self.chance / TEACHES_FULLY_FROM).min(1.0);
        if weight < WEIGHT_MIN { 0.0 } else { weight * self.left }
    }

    /// What it called by the names that paths have now.
    fn rename(&mut self, routes: &Routes) {
        self.path.iter_mut().for_each(|endpoint| *endpoint = routes.now(*endpoint));
        if self.calls.iter().all(|s| routes.now(s.endpoint) == s.endpoint) {
            return;
        }
        let mut calls: Vec<Seen> = Vec::new();
        for &seen in &self.calls {
            let endpoint = routes.now(seen.endpoint);
            match calls.iter_mut().find(|s| s.endpoint == endpoint) {
                Some(same) => {
                    same.count = (same.count + seen.count).min(COUNT_MAX);
                    same.harm = same.harm.max(seen.harm);
                }
                None => calls.push(Seen { endpoint, ..seen }),
            }
        }
        self.calls = calls.into();
    }

    /// Its endpoints and counts in order of endpoint.
    fn multiset(&self) -> impl Iterator<Item = (u64, u8)> {
        let mut sorted: Vec<(u64, u8)> = self.calls.iter().map(|s| (s.endpoint, s.count)).collect();
        sorted.sort_unstable();
        sorted.into_iter()
    }
}

/// One session and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Live {
    open: Open,
    agent: Key,
    began: Timestamp,
    last: Timestamp,
    called: u32,
    /// Where event time stood at its last call: a false date far ahead keeps no session open.
    seen: Timestamp,
    /// The call that last made it more unusual, what that called, and what it kept least company with.
    rose: Timestamp,
    raised_by: u64,
    pair: Option<Pair>,
    /// The largest surprise of a call among what its agent calls, bits by harm.
    role: f64,
    /// The version of the fleet's model it was last read against, and of the names of paths; and by which group's, if not the fleet's.
    model: (u32, u32),
    by: Option<GroupId>,
    /// The peer group of its agent.
    group: Option<GroupId>,
    /// The chance that a normal session ends as this one stands.
    chance: f64,
    /// Its agent is of a kind that the model knows; else there is nothing to compare with, and all there is to learn.
    has_peers: bool,
    standing: Standing,
    may_be_odd: bool,
    /// Whether it is among those of its agent that teach.
    is_sampled: bool,
    ruling: Ruling,
}

/// A session has ended, or what it was has been ruled.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) agent: Key,
    pub(crate) began: Timestamp,
    /// The chances that a normal session ends as this one did, by what it holds, its agent's role and the order of its calls; None
    /// where there is nothing to compare with, and when it is ruled later.
    pub(crate) chances: Option<[f64; drift::ARMS]>,
    /// Nats, where it is an excursion and normal, as far as anybody knows.
    pub(crate) evidence: Option<f64>,
    /// Although unusual it calibrates.
    pub(crate) is_odd: bool,
    /// What it called, where it says to which group its agent belongs: by the gate of learning. None where it closed at odds with it.
    pub(crate) called: Option<Box<[u64]>>,
}

/// All sessions of a lane that are under way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sessions {
    #[serde(serialize_with = "in_order")]
    live: HashMap<u64, Box<Live>, FxBuildHasher>,
    /// Where event time stands, before the first tick the first call's date; and where it stood when idle ones were looked for.
    now: Option<Timestamp>,
    swept: Timestamp,
    names: Names,
    /// Whose sessions have ended, and with how much evidence, nats; for whoever keeps the agents' tails.
    #[serde(skip)]
    pub(crate) ended: Vec<Ended>,
    /// Places of sessions that are over, for the next ones.
    #[serde(skip)]
    #[expect(clippy::vec_box, reason = "they go into the map as they are, half of whose places are empty")]
    spare: Vec<Box<Live>>,
}

/// What a call is read against.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) model: &'a SessionModel,
    /// The agent's peer group, and whose model it is: none for the fleet's.
    pub(crate) group: Option<GroupId>,
    pub(crate) by: Option<GroupId>,
    pub(crate) version: u32,
    pub(crate) routes: &'a Routes,
    /// Endpoints that the agent's manifest declares.
    pub(crate) declared: &'a [u64],
    /// What the agent's own sessions have been, as a rule for its evidence.
    pub(crate) rule: Rule,
    /// Where a person is asked about it.
    pub(crate) alarm: Alarm,
    pub(crate) drift_days: f64,
    /// When the agent was first seen.
    pub(crate) born: Timestamp,
    /// What the agent called before, and the share of this call in it.
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) own_share: f64,
    /// Whether it is known for long enough to teach others.
    pub(crate) is_established: bool,
    pub(crate) has_peers: bool,
}

impl Sessions {
    /// The session that `call` is in, and whether it begins with it. One that is over closes.
    pub(crate) fn enter(
        &mut self,
        agent: Key,
        call: &Call<'_>,
        peers: &Peers,
        tally: &mut SessionTally,
    ) -> (u64, bool) {
        let key = key_of(agent, call.identity.session_id.as_deref());
        let Some(live) = self.live.get(&key) else { return (key, true) };
        let calls_max = if call.identity.session_id.is_some() { u32::MAX } else { UNNAMED_CALLS_MAX };
        let is_over = call.ts.since(live.last) > IDLE
            || call.ts.since(live.began) > LONGEST
            || live.called >= calls_max;
        if is_over {
            self.close(key, peers, tally);
        }
        (key, is_over)
    }

    /// Brings what the session of a call has held on its way from memory.
    pub(crate) fn fetch(&self, agent: Key, session: Option<&str>) {
        if let Some(live) = self.live.get(&key_of(agent, session)) {
            std::hint::black_box((live.last, live.chance.to_bits(), live.open.fetch()));
        }
    }

    /// Scores one call of `agent` to `endpoint` in the session `key`, before anything is known of how it went. None where
    /// there are too many sessions.
    pub(crate) fn call(
        &mut self,
        (agent, key): (Key, u64),
        (call, endpoint, route): (&Call<'_>, u64, Option<&str>),
        ctx: Context<'_>,
    ) -> Option<Evidence> {
        let version = (ctx.version, ctx.routes.version());
        if !self.live.contains_key(&key) {
            if self.live.len() >= OPEN_MAX {
                return None;
            }
            let (ts, model) = (call.ts, version);
            let live = Live {
                open: Open::default(),
                agent,
                began: ts,
                last: ts,
                called: 0,
                seen: ts,
                rose: ts,
                raised_by: endpoint,
                pair: None,
                role: 0.0,
                model,
                by: ctx.by,
                group: ctx.group,
                chance: 1.0,
                has_peers: ctx.endpoints.has_peers(ctx.model),
                standing: Standing::Newcomer,
                may_be_odd: false,
                is_sampled: ctx.endpoints.samples_session(ctx.born, ts),
                ruling: Ruling::None,
            };
            self.live.insert(key, live.in_place_of(self.spare.pop()));
        }
        let seen = *self.now.get_or_insert(call.ts);
        let live = self.live.get_mut(&key)?;
        live.group = ctx.group;
        if live.model != version || live.by != ctx.by {
            (live.model, live.by) = (version, ctx.by);
            live.open.rebuild(ctx.model, ctx.declared, ctx.routes);
            live.compare(ctx.model);
        }
        let (before, held) = (live.chance, live.open.statistics());
        let harm = live.open.harm(endpoint).unwrap_or_else(|| verb::weight(call));
        let pair = live.open.call(ctx.model, endpoint, harm, ctx.declared, None);
        (live.last, live.seen) = (live.last.max(call.ts), seen);
        live.called = live.called.saturating_add(1);
        if pair.is_some() {
            self.names.hear(endpoint, (call, route), ctx.routes);
        }
        live.standing = match ctx.is_established {
            false => Standing::Newcomer,
            true if ctx.endpoints.is_drifting(ctx.born, ctx.drift_days) => Standing::Drifting,
            true => Standing::Established,
        };
        live.may_be_odd = ctx.endpoints.may_have_odd_sessions();
        let harm = f64::from(harm);
        // Few calls surprise most, and of the others the share's whole octaves tell that they do not.
        if harm * -octaves_of(ctx.own_share).0 > live.role {
            live.role = live.role.max(harm * -libm::log2(ctx.own_share));
        }
        if live.open.statistics().iter().zip(held).any(|(now, held)| *now > held) {
            live.compare(ctx.model);
        }
        let now = live.chance;
        if now < before {
            (live.rose, live.raised_by, live.pair) = (call.ts, endpoint, pair);
        }
        let evidence = live.evidence([before, now], ctx);
        if live.ruling == Ruling::None && evidence.now.level() >= ctx.alarm.level {
            live.ruling = Ruling::Awaited;
        }
        Some(evidence)
    }

    /// What the session `key` has to say at `ts` without another call.
    pub(crate) fn stand(&self, key: u64, ts: Timestamp, ctx: Context<'_>) -> Option<Evidence> {
        let live = self.live.get(&key).filter(|live| ts.since(live.last) <= IDLE)?;
        Some(live.evidence([live.chance; 2], ctx))
    }

    /// The agent says that its task is over.
    pub(crate) fn end(&mut self, agent: Key, session: Option<&str>, peers: &Peers, tally: &mut SessionTally) {
        self.close(key_of(agent, session), peers, tally);
    }

    /// Closes what has been idle for long at `watermark`, in order of their last calls.
    pub(crate) fn tick(&mut self, watermark: Timestamp, peers: &Peers, tally: &mut SessionTally) {
        self.now = Some(watermark);
        if watermark.since(self.swept) < SWEEP {
            return;
        }
        self.swept = watermark;
        self.names.make_room(&peers.fleet);
        let idle = |s: &Live| watermark.since(s.seen) > IDLE;
        let mut over: Vec<(Timestamp, u64)> =
            self.live.iter().filter(|(_, s)| idle(s)).map(|(key, s)| (s.last, *key)).collect();
        over.sort_unstable();
        for (_, key) in over {
            self.close(key, peers, tally);
        }
    }

    fn close(&mut self, key: u64, peers: &Peers, tally: &mut SessionTally) {
        let Some(mut live) = self.live.remove(&key) else { return };
        let (by, model) = peers.model_of(live.group);
        // Where another model has come to speak since its last call, it is not what the session was read by.
        let chances = (by == live.by).then(|| live.compare(model)).and_then(|()| live.chances(model));
        let Live {
            ref open,
            chance,
            agent,
            began,
            role,
            standing,
            may_be_odd,
            is_sampled,
            ruling,
            group,
            ..
        } = *live;
        let (calls, path) = (open.calls().into(), open.path().into());
        let session = Closed { calls, path, role: role as f32, chance, may_be_odd, group, left: 1.0 };
        self.spare.push(live);
        let mut ended = Ended::of(agent, began, chances);
        ended.called = session.called(ruling, standing);
        // Names cost nothing: once there is enough to compare with, whoever sends sessions of many new ones teaches nobody, and
        // takes nobody's place among those that do. Nor does whoever becomes another.
        let may_teach = standing == Standing::Established || model.compared() < COMPARES_FROM;
        match ruling {
            Ruling::None if may_teach => {
                let teaches = is_sampled || model.compared() < COMPARES_FROM;
                let is_odd = teaches && may_be_odd && chance <= CALIBRATES_FROM;
                self.end_normally(Ended { is_odd, ..ended }, chance);
                if teaches {
                    tally.learn(session);
                }
            }
            Ruling::Benign => {
                self.end_normally(ended, chance);
                tally.learn(Closed { chance: 1.0, ..session });
            }
            Ruling::None => self.ended.push(ended),
            Ruling::Awaited => {
                self.ended.push(ended);
                if tally.pending.len() >= PENDING_MAX {
                    tally.pending.pop_front();
                }
                tally.pending.push_back((agent, session));
            }
        }
    }

    /// A normal session has ended with such a chance.
    fn end_normally(&mut self, ended: Ended, chance: f64) {
        let evidence = (chance < UNUSUAL).then(|| -libm::log(chance));
        self.ended.push(Ended { evidence, ..ended });
    }
}

impl Ended {
    fn of(agent: Key, began: Timestamp, chances: Option<[f64; drift::ARMS]>) -> Self {
        Self { agent, began, chances, evidence: None, is_odd: false, called: None }
    }
}

impl Live {
    /// The same in the place of a session that is over, if there is one.
    fn in_place_of(self, spare: Option<Box<Self>>) -> Box<Self> {
        let Some(mut place) = spare else { return Box::new(self) };
        let mut open = std::mem::take(&mut place.open);
        open.reset();
        *place = Self { open, ..self };
        place
    }

    /// Compares it as it stands with where normal sessions end.
    fn compare(&mut self, model: &SessionModel) {
        self.chance = if self.has_peers { model.chance(self.open.statistics()) } else { 1.0 };
    }

    /// By content, role and order, once there is enough to compare with.
    fn chances(&self, model: &SessionModel) -> Option<[f64; drift::ARMS]> {
        let is_compared =
            self.has_peers && self.standing != Standing::Newcomer && model.compared() >= COMPARES_FROM;
        is_compared.then(|| [self.chance, model.role_chance(self.role), model.order_chance(self.open.path())])
    }

    fn evidence(&self, [before, now]: [f64; 2], ctx: Context<'_>) -> Evidence {
        let strength = |chance: f64| match chance {
            c if c < UNUSUAL => ctx.rule.strength(-libm::log(c)),
            c => ctx.rule.under_threshold(c / UNUSUAL),
        };
        let was = strength(before);
        // Most calls move nothing, and a recurrence takes a logarithm.
        let is = if now.to_bits() == before.to_bits() { was } else { strength(now) };
        let compared = ctx.model.compared() as f64;
        Evidence {
            before: was,
            now: is,
            story: Story {
                pattern: if now < UNUSUAL { Pattern::Unfitting } else { Pattern::AsUsual },
                observed: self.pair.map_or(0.0, |p| p.both),
                expected: self.pair.map_or(0.0, |p| p.expected),
                low: 0.0,
                high: self.pair.map_or(0.0, |p| p.with),
                window_ms: self.last.since(self.rose).as_millis() as u64,
                since: self.rose,
                history: history(compared, 0.0, ctx.has_peers),
            },
        }
    }
}

/// Where excursions begin for an agent of so many sessions a day: a session is one look.
pub(crate) fn group(per_day: f64) -> Group {
    Group { threshold: THRESHOLD, never_days: 1.0 / (UNUSUAL * per_day), groups: 1.0 }
}

fn key_of(agent: Key, session: Option<&str>) -> u64 {
    session.map_or(0, |session| hash64(&[session])) ^ agent.hash()
}
