//! The detector: calls in event order in, verdicts out.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize, Serializer};

use crate::baseline::Baseline;
use crate::cohort::{Act, CohortIncident, Cohorts};
use crate::combine::{self, Thresholds};
use crate::fleet::Fleet;
use crate::hash::hash128;
use crate::lane::{Admitted, LANES, Lane, Shared, Told, lane_of};
use crate::layers;
use crate::lineage::Lineage;
use crate::memory::Memory;
use crate::monitor::{FleetHealth, Monitor, PeerGroup};
use crate::profile::{Key, Profile};
use crate::profiles::Profiles;
use crate::rules::Manifests;
use crate::signal::session::Closing;
use crate::signal::timing::Timing;
use crate::signal::volume::Volume;
use crate::silence::Vigil;
use crate::source::Sources;
use crate::{
    Call, DetectorConfig, Manifest, Misfit, SourceLate, Timestamp, Verdict, VerdictId, VerdictRecord,
};

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
    pub(crate) manifests: Manifests,
    /// Manifests of the configuration, and those that persons set since.
    #[serde(skip)]
    given: Vec<Manifest>,
    #[serde(skip)]
    set: BTreeMap<(Option<String>, String), Manifest>,
    pub(crate) profiles: Profiles,
    pub(crate) fleet: Fleet,
    pub(crate) sources: Sources,
    pub(crate) memory: Memory,
    pub(crate) lanes: [Lane; LANES],
    pub(crate) lineage: Lineage,
    /// Where sessions that are over end, if somebody asks.
    #[serde(skip)]
    closing: Closing,
}

impl State {
    /// What lanes read, what they change, and who hears of it.
    pub(crate) fn split(&mut self) -> (Shared<'_>, &mut Profiles, &mut [Lane; LANES], Ears<'_>) {
        let Self { config, thresholds, manifests, profiles, fleet, sources, lanes, lineage, closing, .. } =
            self;
        let Fleet { published, monitor, cohorts, .. } = fleet;
        let shared = Shared { config, thresholds, manifests, published, sources, closing };
        (shared, profiles, lanes, Ears { monitor, cohorts, lineage, shared })
    }

    /// What lanes read.
    pub(crate) fn shared(&self) -> Shared<'_> {
        let Self { config, thresholds, manifests, fleet: Fleet { published, .. }, sources, closing, .. } =
            self;
        Shared { config, thresholds, manifests, published, sources, closing }
    }
}

/// A detector's state as it was at one time, to be saved while the detector goes on; serialises as the detector does.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Snapshot(State);

/// Who hears of every call, in the order of calls.
pub(crate) struct Ears<'a> {
    monitor: &'a mut Monitor,
    cohorts: &'a mut Cohorts,
    lineage: &'a mut Lineage,
    shared: Shared<'a>,
}

impl Ears<'_> {
    /// What a lane made of a call becomes a verdict, beside what the agent's peers do.
    pub(crate) fn tell(&mut self, p: &mut Profile, admitted: &Admitted<'_, '_>, told: &mut Told) -> Verdict {
        let Self { monitor, cohorts, lineage, shared } = self;
        let Shared { published, thresholds, .. } = *shared;
        let Admitted { call, presence, endpoint, .. } = admitted;
        let Told { ts, since_last, score, is_first, caller, jump, rule, .. } = told;
        let (ts, jump) = (*ts, *jump);
        monitor.live(*since_last);
        if cohorts.misses(&p.kin, presence) {
            let group = Profile::group(p, &published.sessions);
            cohorts.see(&mut p.kin, group);
        }
        let is_over = score.level >= thresholds.watch;
        if is_over {
            for part in &mut score.parts {
                part.quiet_at =
                    lineage.quiet_at(p.place, part, published, thresholds).unwrap_or(part.quiet_at);
            }
        }
        let is_of_line = score.winner == combine::VOLUME && score.parts[combine::VOLUME].is_of_line();
        p.tells_of_line(is_of_line && is_over);
        let line = if is_of_line { lineage.heard(p.place) } else { None };
        let act = Act { call, endpoint: *endpoint, is_first: *is_first, routes: &published.routes };
        let cohort = p.tell(
            (ts, presence, act, &published.sessions),
            score,
            jump,
            (monitor, cohorts),
            line,
            thresholds,
        );
        let who = (&*caller, call.attestation);
        let (layers, actor) = layers::judge(score, who, presence.is_established(), thresholds);
        Verdict {
            id: VerdictId(hash128(&[&call.event_id, FIRST_VERSION_NAME])),
            version: FIRST_VERSION,
            ts: call.ts,
            level: score.level,
            added: score.added,
            parts: std::mem::take(&mut score.parts),
            families: score.families,
            jump,
            attestation: call.attestation,
            model: published.version,
            rule: rule.take(),
            cohort,
            layers,
            actor,
        }
    }
}

impl From<State> for Detector {
    fn from(mut state: State) -> Self {
        state.fleet.published.sessions.take_stock();
        let mut index = HashTable::with_capacity(state.profiles.len());
        let mut vigil = Vigil::default();
        for (i, p) in state.profiles.iter().enumerate() {
            index.insert_unique(p.key.hash(), i as u32, |_| 0);
            vigil.add(i, p);
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

    /// Its state as it is now. Profiles are held once until they change; open sessions and what the fleet taught are copied.
    pub fn snapshot(&self) -> Snapshot {
        let State { profiles, fleet, sources, memory, lanes, lineage, .. } = &self.state;
        Snapshot(State {
            profiles: profiles.clone(),
            fleet: fleet.clone(),
            sources: sources.clone(),
            memory: memory.clone(),
            lanes: lanes.clone(),
            lineage: lineage.clone(),
            ..State::default()
        })
    }

    /// The operator's settings and manifests of now. A snapshot holds what was learned; what was set is set anew after
    /// every restore.
    pub fn reconfigure(&mut self, config: DetectorConfig, manifests: &[Manifest]) {
        self.state.thresholds = config.budgets.into();
        self.state.config = config;
        (self.state.given, self.state.set) = (manifests.to_vec(), BTreeMap::new());
        let State { config, fleet, .. } = &mut self.state;
        fleet.published.context.providers = Arc::clone(&config.providers);
        self.redeclare();
    }

    /// Manifests that persons set while it runs, from here on in the place of what these agents had. Those of the configuration stand:
    /// gives how many were not taken for that.
    pub fn declare(&mut self, manifests: impl IntoIterator<Item = Manifest>) -> usize {
        let State { given, set, .. } = &mut self.state;
        let given: FxHashSet<_> = given.iter().map(|m| (&m.issuer, &m.agent_id)).collect();
        let (stand, taken): (Vec<_>, Vec<_>) =
            manifests.into_iter().partition(|m| given.contains(&(&m.issuer, &m.agent_id)));
        set.extend(taken.into_iter().map(|m| ((m.issuer.clone(), m.agent_id.clone()), m)));
        self.redeclare();
        stand.len()
    }

    /// What manifests say has changed.
    fn redeclare(&mut self) {
        let State { config, fleet, given, set, .. } = &mut self.state;
        let manifests: Vec<Manifest> = given.iter().chain(set.values()).cloned().collect();
        let declared_too = manifests.iter().flat_map(|m| &m.endpoints);
        let declared_groups = manifests.iter().filter_map(|m| m.group.as_deref());
        fleet.published.sessions.declare(declared_groups, config.compare_with_found_groups);
        fleet.published.routes.set_templates(config.templates.iter().chain(declared_too).map(String::as_str));
        self.state.manifests = Manifests::new(&manifests);
        for p in self.state.profiles.iter_mut() {
            p.declared = Arc::clone(self.state.manifests.of(p.name.issuer(), p.name.agent_id()));
            p.redeclare();
        }
        self.refresh_closing();
        self.make_room(0);
    }

    /// Event time has reached `watermark`: no call older than it is expected. Call it in steps of 10 s at most.
    pub fn tick(&mut self, watermark: Timestamp) {
        self.state.memory.tick(watermark);
        let State { fleet, lanes, .. } = &mut self.state;
        for Lane { sessions, tally, .. } in lanes {
            sessions.tick(watermark, &fleet.published.sessions, &mut tally.sessions);
        }
        self.learn_ended_sessions();
        let State { fleet, lanes, thresholds, .. } = &mut self.state;
        fleet.tick(watermark, thresholds, lanes);
        self.refresh_closing();
        self.state.lineage.publish(self.state.fleet.published.version);
        self.look_for_groups(watermark);
        self.look_at_silences(watermark);
    }

    /// A version was published, or paths have other names.
    pub(crate) fn refresh_closing(&mut self) {
        let State { config, fleet, closing, .. } = &mut self.state;
        if config.ranks_sessions {
            closing.refresh(&fleet.published, &fleet.tally.sessions);
        }
    }

    /// Sources of heartbeats that have become late by `watermark`, each told once.
    pub fn late_sources(&mut self, watermark: Timestamp) -> Vec<SourceLate> {
        self.state.sources.tell_late(watermark)
    }

    /// What the sessions that have ended were like is part of what their agents are.
    pub(crate) fn learn_ended_sessions(&mut self) {
        for lane in 0..LANES {
            while let Some(ended) = self.state.lanes[lane].sessions.ended.pop() {
                if let Some(agent) = self.find(ended.agent) {
                    let (shared, profiles, lanes, _) = self.state.split();
                    lanes[lane].session_ended(&mut profiles[agent], &ended, shared);
                }
            }
        }
    }

    /// What `call` calls, for people: its path's template with the method, and its operation. None for what is called by its
    /// name alone. Teaches nothing.
    pub fn route(&self, call: &Call<'_>) -> Option<String> {
        self.state.fleet.published.routes.shown(call)
    }

    /// Which call of its session a verdict on this call, its agent's last, speaks of; none where it speaks of none.
    pub fn misfit_of(&self, call: &Call<'_>, verdict: &Verdict) -> Option<Misfit> {
        let agent = Key::of(call);
        let is_told = verdict.level >= self.state.thresholds.watch;
        let sessions = &self.state.lanes[lane_of(agent)].sessions;
        is_told.then(|| sessions.misfit(agent, call, &verdict.parts)).flatten()
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

    /// Whoever is known by a key with this hash.
    pub(crate) fn hashed(&self, hash: u64) -> Option<&Profile> {
        let profiles = &self.state.profiles;
        self.index.find(hash, |&i| profiles[i as usize].key.hash() == hash).map(|&i| &profiles[i as usize])
    }

    /// The place of the agent's profile, which is made where there is none.
    pub(crate) fn profile(&mut self, call: &Call<'_>) -> usize {
        let (issuer, agent_id) = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        let key = Key::new(issuer, agent_id);
        self.state.lanes[lane_of(key)].sessions.fetch(key, call.identity.session_id.as_deref());
        if let Some(i) = self.find(key) {
            self.state.profiles[i].fetch();
            return i;
        }
        let dormant = self.state.memory.wake(key);
        if self.state.profiles.len() >= self.state.config.agents_max.max(1) {
            self.make_room(1);
        }
        let State { thresholds, profiles, manifests, fleet, lineage, .. } = &mut self.state;
        let declared = Arc::clone(manifests.of(issuer, agent_id));
        let mut profile = Profile::new((issuer, agent_id), call.ts, declared, &fleet.published, thresholds);
        if let Some(dormant) = dormant {
            dormant.restore(&mut profile, &fleet.published, thresholds);
        }
        profile.place = lineage.headed_by(key);
        profiles.push(profile);
        let i = profiles.len() - 1;
        self.vigil.add(i, &profiles[i]);
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
