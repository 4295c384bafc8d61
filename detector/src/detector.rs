//! The detector: calls in event order in, verdicts out.

use std::sync::Arc;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize, Serializer};

use crate::baseline::Baseline;
use crate::cohort::CohortIncident;
use crate::combine::{self, Score, Thresholds};
use crate::fleet::Fleet;
use crate::hash::hash128;
use crate::memory::Memory;
use crate::monitor::{FleetHealth, PeerGroup};
use crate::profile::{Declared, Key, Profile};
use crate::rules::Manifests;
use crate::signal::Evidence;
use crate::signal::session::Sessions;
use crate::signal::timing::Timing;
use crate::signal::volume::Volume;
use crate::silence::Vigil;
use crate::source::{self, Sources};
use crate::{Call, DetectorConfig, Kind, Manifest, SourceLate, Timestamp, Verdict, VerdictId, VerdictRecord};

/// The version of a verdict that no late call has amended.
const FIRST_VERSION: u16 = 1;
const FIRST_VERSION_NAME: &str = "1";

/// Scores every call against its agent's own past and the fleet's.
///
/// Reads no clock and does no IO: event time comes with the calls and from [`Self::tick`]. The same calls in the same
/// order give the same verdicts, bit for bit, also when the detector was serialised and restored in between.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "State")]
pub struct Detector {
    pub(crate) state: State,
    index: HashTable<u32>,
    pub(crate) vigil: Vigil,
    pub(crate) said: Vec<VerdictRecord>,
    pub(crate) baselines: Vec<Baseline>,
}

/// What a snapshot holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    #[serde(skip)]
    pub(crate) config: DetectorConfig,
    #[serde(skip)]
    pub(crate) thresholds: Thresholds,
    #[serde(skip)]
    manifests: Manifests,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) fleet: Fleet,
    pub(crate) sources: Sources,
    pub(crate) memory: Memory,
    pub(crate) sessions: Sessions,
}

impl From<State> for Detector {
    fn from(state: State) -> Self {
        let mut index = HashTable::with_capacity(state.profiles.len());
        let mut vigil = Vigil::default();
        for (i, p) in state.profiles.iter().enumerate() {
            index.insert_unique(p.key.hash(), i as u32, |_| 0);
            vigil.add(p);
        }
        Self { state, index, vigil, said: Vec::new(), baselines: Vec::new() }
    }
}

impl Serialize for Detector {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.state.serialize(s)
    }
}

impl Detector {
    /// A detector that has seen nothing yet. `manifests` are priors from the first call of their agents.
    pub fn new(config: DetectorConfig, manifests: &[Manifest]) -> Self {
        let mut detector = Self::from(State::default());
        detector.reconfigure(config, manifests);
        detector
    }

    /// The operator's settings and manifests of now. A snapshot holds what was learned; what was set is set anew after
    /// every restore.
    pub fn reconfigure(&mut self, config: DetectorConfig, manifests: &[Manifest]) {
        self.state.thresholds = config.budgets.into();
        self.state.config = config;
        self.state.manifests = Manifests::new(manifests);
        let State { config, fleet, .. } = &mut self.state;
        fleet.published.context.providers = Arc::clone(&config.providers);
        let declared_too = manifests.iter().flat_map(|m| &m.endpoints);
        fleet.published.routes.set_templates(config.templates.iter().chain(declared_too).map(String::as_str));
        for p in &mut self.state.profiles {
            p.declared = Arc::clone(self.state.manifests.of(p.issuer.as_deref(), &p.agent_id));
        }
        self.make_room(0);
    }

    /// Scores one record. `None` for records that are no call: outcomes, ends of tasks, heartbeats, feedback.
    ///
    /// A call that is older than the agent's last one is scored in the windows that are open now.
    pub fn observe(&mut self, call: &Call<'_>) -> Option<Verdict> {
        match (call.kind, &call.source) {
            (Kind::Feedback, _) => self.rule(call),
            (Kind::Heartbeat, Some(source)) => self.state.sources.beat(source, call.ts),
            _ => {}
        }
        match call.kind {
            Kind::TaskEnd => self.end_session(call),
            Kind::Outcome => self.join_outcome(call),
            _ => {}
        }
        if !call.kind.is_call() {
            return None;
        }
        let source = source::key(call.source.as_deref());
        self.state.sources.live(source, call.ts);
        let profile = self.profile(call);
        self.look_at_baseline(profile, call.ts);
        self.amend_silence(profile, call);
        let session = self.enter_session(profile, call);
        let is_established = self.state.profiles[profile].presence.is_established();
        let name = self.state.fleet.resolve(call, is_established);
        let State { config, thresholds, manifests, profiles, fleet, sources, memory, sessions } =
            &mut self.state;
        let p = &mut profiles[profile];
        p.source = source;
        memory.see(&mut p.presence, call.ts);
        // A call that comes late is counted where we are: a forged date must buy no forgiveness. Of gaps it says nothing.
        let is_late = call.ts < p.last;
        let (from, ts) = (p.last, call.ts.max(p.last));
        p.last = ts;
        let outages = sources.outages(source);
        let is_known = outages.iter().all(|o| o.until <= from || o.since >= ts);
        let Fleet { published, tally, monitor, cohorts, .. } = fleet;
        monitor.live(ts.since(from));
        cohorts.see(&mut p.kin, &p.presence);
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
        let session = sessions.call(
            (p.key, session),
            (call, name),
            p.session_ctx(published, thresholds, endpoint.story.expected),
        );
        let context_ctx = p.context_ctx(published, thresholds);
        let context = p.circumstances.call(ts, call, context_ctx, &mut tally.context);
        let evidence = [
            Evidence {
                before: volume.before,
                now: volume.now,
                story: p.volume.story(volume.at, ts, volume_ctx),
            },
            Evidence { before: timing.before, now: timing.now, story: p.timing.story(&timing, timing_ctx) },
            Evidence::of_endpoint(endpoint, session, p.endpoints.drift(ts)),
            context.evidence,
        ];
        let watch = thresholds.watch;
        let score = combine::combine(&evidence, &context.stories, call.ts, watch);
        p.suspect = score.level >= watch;
        let jump = p.volume.jump(volume.at, volume_ctx) as f32;
        let cohort = p.tell(ts, &score, jump, (monitor, cohorts), thresholds);
        let Score { level, added, mut parts, families, .. } = score;
        if p.suspect {
            for part in &mut parts {
                part.quiet_at = p.quiet_at(part, (volume.at, ts), (published, thresholds));
            }
        }
        if p.endpoints.learn(name, p.suspect) && !p.suspect {
            tally.sight(name);
        }
        Some(Verdict {
            id: VerdictId(hash128(&[&call.event_id, FIRST_VERSION_NAME])),
            version: FIRST_VERSION,
            ts: call.ts,
            level,
            added,
            parts,
            families,
            jump,
            attestation: call.attestation,
            model: published.version,
            rule: p.rules.count(ts, call, p.declared.limits(config, manifests.handed_down(call))),
            cohort,
        })
    }

    /// Event time has reached `watermark`: no call older than it is expected. Call it in steps of 10 s at most.
    pub fn tick(&mut self, watermark: Timestamp) {
        self.state.memory.tick(watermark);
        let State { fleet: Fleet { published, tally, .. }, sessions, .. } = &mut self.state;
        sessions.tick(watermark, &published.sessions, &mut tally.sessions);
        self.learn_ended_sessions();
        self.state.fleet.tick(watermark, &self.state.thresholds);
        self.look_at_silences(watermark);
    }

    /// Sources of heartbeats that have become late by `watermark`, each told once.
    pub fn late_sources(&mut self, watermark: Timestamp) -> Vec<SourceLate> {
        self.state.sources.tell_late(watermark)
    }

    /// How a call of this agent went; of an agent never seen nothing is learned.
    fn join_outcome(&mut self, call: &Call<'_>) {
        let key = Key::new(call.identity.issuer.as_deref(), &call.identity.agent_id);
        if let Some(i) = self.find(key) {
            let State { thresholds, profiles, fleet: Fleet { published, tally, .. }, .. } = &mut self.state;
            let p = &mut profiles[i];
            let ctx = p.context_ctx(published, thresholds);
            p.circumstances.outcome(call.ts.max(p.last), call, ctx, &mut tally.context);
        }
    }

    fn end_session(&mut self, call: &Call<'_>) {
        let key = Key::new(call.identity.issuer.as_deref(), &call.identity.agent_id);
        let State { fleet: Fleet { published, tally, .. }, sessions, .. } = &mut self.state;
        sessions.end(key, call.identity.session_id.as_deref(), &published.sessions, &mut tally.sessions);
        self.learn_ended_sessions();
        if let Some(p) = self.find(key).map(|i| &mut self.state.profiles[i])
            && p.declared.purpose().is_some_and(|purpose| purpose.ends_with_task)
        {
            p.rules.end_task(call.ts);
        }
    }

    /// The session of a call; one that is over closes before.
    fn enter_session(&mut self, profile: usize, call: &Call<'_>) -> u64 {
        let State { profiles, fleet: Fleet { published, tally, .. }, sessions, .. } = &mut self.state;
        let p = &mut profiles[profile];
        let (session, begins) = sessions.enter(p.key, call, &published.sessions, &mut tally.sessions);
        p.endpoints.is_in(session, begins);
        self.learn_ended_sessions();
        session
    }

    /// What the sessions that have ended were like is part of what their agents are.
    pub(crate) fn learn_ended_sessions(&mut self) {
        while let Some(ended) = self.state.sessions.ended.pop() {
            if let Some(agent) = self.find(ended.agent) {
                let State { profiles, fleet, thresholds, .. } = &mut self.state;
                let p = &mut profiles[agent];
                let (alarm_days, tail) = (thresholds.session.days, &mut fleet.tally.sessions.tail);
                p.endpoints.session_ended(&ended, alarm_days, p.last, tail);
            }
        }
    }

    /// What `call` calls, for people: its path's template with the method, and its operation. None for what is called by its
    /// name alone. Teaches nothing.
    pub fn route(&self, call: &Call<'_>) -> Option<String> {
        self.state.fleet.published.routes.shown(call)
    }

    /// Version of the fleet's model that scores now; 0 while nothing is known of peers.
    pub fn model(&self) -> u32 {
        self.state.fleet.published.version
    }

    /// Whether the fleet keeps the operator's budgets, and by how much tails are widened where it does not.
    pub fn fleet_health(&self) -> Vec<FleetHealth> {
        self.state.fleet.monitor.health(PeerGroup::Fleet)
    }

    /// What many agents began to do at once: incidents that go on, and the last that are over.
    pub fn cohort_incidents(&self) -> impl Iterator<Item = &CohortIncident> {
        self.state.fleet.cohorts.incidents()
    }

    /// How many such incidents there have been: the number of the last one.
    pub fn cohort_incidents_so_far(&self) -> u32 {
        self.state.fleet.cohorts.count()
    }

    /// Agents held in memory.
    pub fn agents(&self) -> usize {
        self.state.profiles.len()
    }

    /// Bytes that volume and timing keep of an agent.
    pub const fn bytes_of_volume_and_timing() -> usize {
        size_of::<Volume>() + size_of::<Timing>()
    }

    /// Bytes of state per agent, names not counted.
    pub const fn bytes_per_agent() -> usize {
        size_of::<Profile>()
    }

    pub(crate) fn find(&self, key: Key) -> Option<usize> {
        let profiles = &self.state.profiles;
        self.index.find(key.hash(), |&i| profiles[i as usize].key == key).map(|&i| i as usize)
    }

    fn profile(&mut self, call: &Call<'_>) -> usize {
        let (issuer, agent_id) = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        let key = Key::new(issuer, agent_id);
        self.state.sessions.fetch(key, call.identity.session_id.as_deref());
        if let Some(i) = self.find(key) {
            self.state.profiles[i].fetch();
            return i;
        }
        let dormant = self.state.memory.wake(key);
        if self.state.profiles.len() >= self.state.config.agents_max.max(1) {
            self.make_room(1);
        }
        let State { thresholds, profiles, manifests, fleet, .. } = &mut self.state;
        let declared = Arc::clone(manifests.of(issuer, agent_id));
        let mut profile = Profile::new((issuer, agent_id), call.ts, declared, &fleet.published, thresholds);
        if let Some(dormant) = dormant {
            dormant.restore(&mut profile, &fleet.published, thresholds);
        }
        profiles.push(profile);
        let i = profiles.len() - 1;
        self.vigil.add(&profiles[i]);
        self.index.insert_unique(key.hash(), i as u32, |&i| profiles[i as usize].key.hash());
        i
    }

    /// Makes room for so many agents more; profiles change their places.
    fn make_room(&mut self, agents: usize) {
        let (mut state, said) = (std::mem::take(&mut self.state), std::mem::take(&mut self.said));
        let baselines = std::mem::take(&mut self.baselines);
        state.make_room(agents);
        *self = Self { said, baselines, ..state.into() };
    }
}
