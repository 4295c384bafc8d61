//! What one record does to its agent, whoever else is at work.
//!
//! Agents are dealt out to lanes by their keys. While a version of the fleet's model is in force a record reads what all share and
//! changes its agent's profile and its lane alone. So lanes can be worked on at once, and verdicts are the same however many do.
//! What crosses agents comes before ([`crate::batch`]: who is known, which sources are alive, what paths are called) or after (the
//! fleet's monitor, cohorts), in the order of the records.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::combine::{self, FAMILIES, Score, Thresholds};
use crate::fleet::{Published, Tally};
use crate::memory::Presence;
use crate::peers::GroupMove;
use crate::profile::{Declared, Key, Profile};
use crate::rules::Manifests;
use crate::signal::context::{Caller, Reading};
use crate::signal::session::{Closing, Ended, Oddness, Sessions};
use crate::signal::{Evidence, volume};
use crate::source::Sources;
use crate::{BrokenRule, Call, DetectorConfig, Kind, Misfit, Timestamp, VerdictRecord};

/// How many lanes there are. What agents teach is added up a lane at a time, so the number is part of every verdict.
pub(crate) const LANES: usize = 8;

/// Moves between peer groups that a lane keeps until somebody asks for them.
const MOVES_MAX: usize = 4_096 / LANES;

/// The lane of an agent.
pub(crate) fn lane_of(agent: Key) -> usize {
    (agent.hash() >> (u64::BITS - LANES.ilog2())) as usize
}

/// What the agents of a lane share: their sessions, and what they have taught since the last version was published.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) sessions: Sessions,
    pub(crate) tally: Box<Tally>,
    /// Agents that changed their peer group, for whoever asks.
    #[serde(skip)]
    pub(crate) moves: Vec<GroupMove>,
}

/// What all lanes read.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a DetectorConfig,
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) manifests: &'a Manifests,
    pub(crate) published: &'a Published,
    pub(crate) sources: &'a Sources,
    pub(crate) closing: &'a Closing,
}

/// A record of an agent that is known, with what was found out about it in the order of records.
pub(crate) struct Admitted<'c, 'a> {
    pub(crate) call: &'c Call<'a>,
    /// The agent's place among the profiles.
    pub(crate) profile: usize,
    /// What the agent was to the fleet with this call.
    pub(crate) presence: Presence,
    pub(crate) source: u64,
    pub(crate) endpoint: u64,
    /// What it calls, for people, as paths were known then; None also where it is read at once and nobody has asked yet.
    pub(crate) route: Option<String>,
}

/// What the lane made of a record. Of a KiB, so that it is written where it is and not handed on.
#[derive(Default)]
pub(crate) struct Read {
    /// A verdict on a silence that it amends.
    pub(crate) amended: Option<Box<VerdictRecord>>,
    /// Whether it is a call, and what that says of its agent.
    pub(crate) is_call: bool,
    pub(crate) told: Told,
    /// How odd its session is with it, where that is asked.
    pub(crate) odd: Option<Oddness>,
}

/// What the families have to say of a call, each for itself.
pub(crate) struct Weighed {
    /// When the agent called before, and when it calls now.
    pub(crate) from: Timestamp,
    ts: Timestamp,
    pub(crate) evidence: [Evidence; FAMILIES],
    context: Reading,
    pub(crate) odd: Option<Oddness>,
    /// Where volume found its evidence.
    at: Option<volume::Place>,
}

/// The level of an agent after a call, not yet beside its peers'.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) ts: Timestamp,
    /// Since its call before.
    pub(crate) since_last: Duration,
    pub(crate) score: Score,
    /// Whether the agent has not called the endpoint before.
    pub(crate) is_first: bool,
    /// What context says of who called.
    pub(crate) caller: Caller,
    pub(crate) jump: f32,
    pub(crate) rule: Option<BrokenRule>,
    pub(crate) misfit: Option<Misfit>,
}

impl Lane {
    /// Takes the next record of an agent of this lane that is in no line of others.
    pub(crate) fn read(
        &mut self,
        p: &mut Profile,
        record: &Admitted<'_, '_>,
        shared: Shared<'_>,
        read: &mut Read,
    ) {
        (read.amended, read.odd, read.is_call) = (None, None, record.call.kind.is_call());
        match record.call.kind {
            Kind::Outcome => self.join_outcome(p, record, shared),
            Kind::TaskEnd => self.end_task(p, record.call, shared),
            _ => {
                read.amended = self.amend_silence(p, record.call, shared);
                let weighed = self.weigh(p, record, shared);
                read.odd = weighed.odd;
                self.conclude(p, record, &weighed, shared, &mut read.told);
            }
        }
    }

    /// What every family has to say of a call.
    pub(crate) fn weigh(
        &mut self,
        p: &mut Profile,
        record: &Admitted<'_, '_>,
        shared: Shared<'_>,
    ) -> Weighed {
        let &Admitted { call, presence, source, endpoint: name, .. } = record;
        let Shared { thresholds, published, .. } = shared;
        let is_established = presence.is_established();
        let session = self.enter_session(p, call, shared);
        p.source = source;
        let Self { sessions, tally, .. } = self;
        // A call that comes late is counted where we are: a forged date must buy no forgiveness. Of gaps it says nothing.
        let is_late = call.ts < p.last;
        let (from, ts) = (p.last, call.ts.max(p.last));
        p.last = ts;
        let outages = shared.sources.outages(source);
        let is_known = outages.iter().all(|o| o.until <= from || o.since >= ts);
        let volume_ctx = p.declared.volume(published, thresholds);
        p.volume.advance_through((from, ts), outages, volume_ctx, &mut tally.volume);
        let volume = p.volume.count(ts, volume_ctx, &mut tally.volume);
        let timing_ctx = Declared::timing(published, thresholds, &p.volume);
        let timing = if is_late {
            p.timing.stand(timing_ctx)
        } else if is_known {
            p.timing.count(ts, timing_ctx, &mut tally.timing)
        } else {
            p.timing.resume(ts, timing_ctx)
        };
        p.endpoints.follow(&published.routes);
        let endpoint_ctx = p.declared.endpoint(published, thresholds, &p.timing);
        let endpoint = p.endpoints.score(ts, name, endpoint_ctx, &mut tally.endpoint_tail);
        let session_ctx = p.session_ctx(published, thresholds, is_established, endpoint.story.expected);
        let called = (call, name, record.route.as_deref());
        let of_session = sessions.call((p.key, session), called, session_ctx);
        let fleets = &published.sessions.fleet;
        let ranks = shared.config.ranks_sessions;
        let odd = ranks.then(|| shared.closing.odd(sessions, session, fleets, session_ctx)).flatten();
        let context_ctx = p.context_ctx(published, thresholds, is_established);
        let context = p.circumstances.call(ts, call, context_ctx, &mut tally.context);
        let evidence = [
            Evidence {
                before: volume.before,
                now: volume.now,
                story: p.volume.story(volume.at, ts, volume_ctx),
            },
            Evidence { before: timing.before, now: timing.now, story: p.timing.story(&timing, timing_ctx) },
            Evidence::of_endpoint(endpoint, of_session, p.endpoints.drift(p.timing.born(), ts)),
            context.evidence,
        ];
        Weighed { from, ts, evidence, context, odd, at: volume.at }
    }

    /// One level of it all, and what the agent learns with that.
    pub(crate) fn conclude(
        &mut self,
        p: &mut Profile,
        record: &Admitted<'_, '_>,
        weighed: &Weighed,
        shared: Shared<'_>,
        told: &mut Told,
    ) {
        let &Admitted { call, endpoint: name, .. } = record;
        let &Weighed { from, ts, ref evidence, ref context, at, .. } = weighed;
        let Shared { thresholds, published, .. } = shared;
        let watch = thresholds.watch;
        let score = &mut told.score;
        combine::combine(evidence, &context.stories, call.ts, watch, score);
        p.suspect = score.level >= watch;
        told.misfit = None;
        if p.suspect {
            told.misfit = self.sessions.misfit(p.key, call, &score.parts);
            for part in &mut score.parts {
                part.quiet_at = p.quiet_at(part, (at, ts), (published, thresholds));
            }
        }
        told.is_first = p.endpoints.learn(name, p.suspect);
        if told.is_first && !p.suspect {
            self.tally.sight(name);
        }
        told.jump = p.volume.jump(at, p.declared.volume(published, thresholds)) as f32;
        let limits = p.declared.limits(shared.config, shared.manifests.handed_down(call));
        told.rule = p.rules.count(ts, call, limits);
        (told.ts, told.since_last, told.caller) = (ts, ts.since(from), context.caller.clone());
    }

    /// How an earlier request or call went.
    fn join_outcome(&mut self, p: &mut Profile, record: &Admitted<'_, '_>, shared: Shared<'_>) {
        let ctx = p.context_ctx(shared.published, shared.thresholds, record.presence.is_established());
        p.circumstances.outcome(record.call.ts.max(p.last), record.call, ctx, &mut self.tally.context);
    }

    fn end_task(&mut self, p: &mut Profile, call: &Call<'_>, shared: Shared<'_>) {
        self.end_session(p.key, call, shared);
        self.learn_ended_sessions(p, shared);
        if p.declared.purpose().is_some_and(|purpose| purpose.ends_with_task) {
            p.rules.end_task(call.ts);
        }
    }

    /// The agent says that its task is over.
    pub(crate) fn end_session(&mut self, agent: Key, call: &Call<'_>, shared: Shared<'_>) {
        let Self { sessions, tally, .. } = self;
        let (session, model) = (call.identity.session_id.as_deref(), &shared.published.sessions);
        sessions.end(agent, session, model, &mut tally.sessions);
    }

    /// The session of a call; one that is over closes before.
    fn enter_session(&mut self, p: &mut Profile, call: &Call<'_>, shared: Shared<'_>) -> u64 {
        let Self { sessions, tally, .. } = self;
        let (session, begins) = sessions.enter(p.key, call, &shared.published.sessions, &mut tally.sessions);
        p.endpoints.is_in(session, begins);
        self.learn_ended_sessions(p, shared);
        session
    }

    /// What the agent's sessions that have ended were like is part of what it is.
    fn learn_ended_sessions(&mut self, p: &mut Profile, shared: Shared<'_>) {
        while let Some(ended) = self.sessions.ended.pop() {
            if ended.agent == p.key {
                self.session_ended(p, &ended, shared);
            }
        }
    }

    pub(crate) fn session_ended(&mut self, p: &mut Profile, ended: &Ended, shared: Shared<'_>) {
        let (alarm_days, tail) = (shared.thresholds.session.days, &mut self.tally.sessions.tail);
        p.endpoints.session_ended(ended, alarm_days, (p.timing.born(), p.last), tail);
        if let Some(moved) = p.belong(ended, &shared.published.sessions)
            && self.moves.len() < MOVES_MAX
        {
            self.moves.push(moved);
        }
    }

    /// A person ruled this agent's present evidence benign, or of what it did one act.
    pub(crate) fn accept(&mut self, p: &mut Profile, act: Option<u64>, shared: Shared<'_>) {
        let Shared { thresholds, published, .. } = shared;
        let Self { sessions, tally, .. } = self;
        p.volume.accept(p.declared.volume(published, thresholds), &mut tally.volume);
        p.timing.accept(Declared::timing(published, thresholds, &p.volume));
        let endpoint_ctx = p.declared.endpoint(published, thresholds, &p.timing);
        p.endpoints.accept(p.last, act, endpoint_ctx, &mut tally.endpoint_tail);
        let context_ctx = p.context_ctx(published, thresholds, p.presence.is_established());
        p.circumstances.accept(p.last, context_ctx, &mut tally.context);
        if act.is_none() {
            sessions.accept(p.key, &mut tally.sessions);
        }
        p.rules.accept();
        p.heard.stands();
        p.suspect = false;
    }
}
