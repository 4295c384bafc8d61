//! What the detector remembers of one agent.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::baseline::Told;
use crate::cohort::{Act, Cohort, Cohorts, Kin, Speaker};
use crate::combine::{self, Score, Thresholds};
use crate::fleet::Published;
use crate::hash::hash128;
use crate::lineage::Place;
use crate::memory::Presence;
use crate::monitor::{Heard, Monitor};
use crate::name::Name;
use crate::peers::{Membership, Peers};
use crate::route;
use crate::rules::{Handed, Limits, Purpose, Rules};
use crate::signal::context::Circumstances;
use crate::signal::endpoint::Endpoints;
use crate::signal::timing::Timing;
use crate::signal::volume::Volume;
use crate::signal::{Evidence, context, endpoint, session, timing, volume};
use crate::silence::{self, Said};
use crate::{Call, DetectorConfig, Manifest, Part, Pattern, Signal, Timestamp};

/// One agent under one issuer: its name, its past, and where its evidence stands. About 3.4 KiB, its name in it where that is short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) key: Key,
    pub(crate) last: Timestamp,
    pub(crate) presence: Presence,
    /// The source of its last call, see [`crate::source::key`].
    pub(crate) source: u64,
    /// When its silence is looked at next.
    pub(crate) due: Timestamp,
    /// The silence that was said of it, until a call ends it.
    pub(crate) silence: Option<Box<Said>>,
    pub(crate) volume: Volume,
    pub(crate) timing: Timing,
    pub(crate) endpoints: Endpoints,
    pub(crate) circumstances: Circumstances,
    pub(crate) rules: Rules,
    /// Whether the level was over the watch budget after the last call.
    pub(crate) suspect: bool,
    /// What was told of its baseline.
    pub(crate) told: Told,
    /// What it has raised lately.
    pub(crate) heard: Heard,
    /// What it has in common with its peers.
    pub(crate) kin: Kin,
    /// Its peer group, where no manifest says.
    pub(crate) membership: Membership,
    /// Its line, if it has one.
    pub(crate) place: Place,
    /// What was set is set anew after every restore.
    #[serde(skip)]
    pub(crate) declared: Arc<Declared>,
    // Read where manifests change.
    pub(crate) name: Name,
}

/// An agent has 3.5 KiB, with what holds it: places in lists, in the index and among open sessions.
const _: () = assert!(size_of::<Profile>() <= 3_464);

/// By what an agent under an issuer is known: to give two of them one takes 2^64 tries, and then they share a past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
// As it is, a profile and a session would be a multiple of sixteen bytes.
#[repr(Rust, packed(8))]
pub(crate) struct Key(#[serde(with = "hex")] u128);

impl Key {
    pub(crate) fn new(issuer: Option<&str>, agent_id: &str) -> Self {
        Self(match issuer {
            Some(issuer) => hash128(&[issuer, agent_id]),
            None => hash128(&[agent_id]),
        })
    }

    /// Of whom a record speaks.
    pub(crate) fn of(call: &Call<'_>) -> Self {
        Self::new(call.identity.issuer.as_deref(), &call.identity.agent_id)
    }

    /// For the index.
    pub(crate) fn hash(self) -> u64 {
        self.0 as u64
    }
}

/// JSON has no numbers of this size, and by its JSON it is told how a state is laid out.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &u128, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.collect_str(&format_args!("{key:032x}"))
        } else {
            s.serialize_u128(*key)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u128, D::Error> {
        if d.is_human_readable() {
            u128::from_str_radix(&String::deserialize(d)?, 16).map_err(D::Error::custom)
        } else {
            u128::deserialize(d)
        }
    }
}

/// What of a manifest the signals and rules read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Declared {
    pub(crate) calls_per_hour: Option<f64>,
    pub(crate) endpoints: Box<[u64]>,
    calls_per_minute_max: Option<NonZeroU32>,
    repeats_per_minute_max: Option<u32>,
    purpose: Option<Purpose>,
    group: Option<Box<str>>,
    /// The head of the line that manifests put it in, under its own issuer.
    pub(crate) head: Option<Box<str>>,
}

impl Declared {
    pub(crate) fn new(manifest: &Manifest, purpose: Purpose, head: Option<Box<str>>) -> Self {
        Self {
            calls_per_hour: manifest.calls_per_hour.filter(|r| r.is_finite() && *r > 0.0),
            endpoints: manifest.endpoints.iter().flat_map(|e| route::declared(e)).collect(),
            calls_per_minute_max: manifest.calls_per_minute_max,
            repeats_per_minute_max: manifest.repeats_per_minute_max,
            purpose: Some(purpose),
            group: manifest.group.as_deref().map(Into::into),
            head,
        }
    }

    pub(crate) fn purpose(&self) -> Option<&Purpose> {
        self.purpose.as_ref()
    }

    /// The peer group that it is put into.
    pub(crate) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// What this agent is allowed, whatever is known of it. `claimed`: what the parent that the call names hands down.
    pub(crate) fn limits<'a>(
        &'a self,
        config: &'a DetectorConfig,
        claimed: Option<&'a Handed>,
    ) -> Limits<'a> {
        let repeats = |default| self.repeats_per_minute_max.unwrap_or(default);
        Limits {
            calls: self.calls_per_minute_max,
            repeats: repeats(config.repeats_per_minute_max),
            repeats_without_args: repeats(config.repeats_without_args_per_minute_max),
            purpose: self.purpose(),
            claimed,
            ranks: &config.rule_ranks,
        }
    }

    /// What this agent's volume is read against.
    pub(crate) fn volume<'a>(&self, fleet: &'a Published, thresholds: &Thresholds) -> volume::Context<'a> {
        volume::Context {
            peers: &fleet.volume,
            has_peers: fleet.has_peers(),
            widening: fleet.widening.of(combine::VOLUME),
            declared_per_hour: self.calls_per_hour,
            alarm: thresholds.volume,
        }
    }

    /// What this agent's endpoints are read against.
    pub(crate) fn endpoint<'a>(
        &'a self,
        fleet: &'a Published,
        thresholds: &Thresholds,
        timing: &Timing,
    ) -> endpoint::Context<'a> {
        endpoint::Context {
            model: &fleet.endpoints,
            tail: &fleet.endpoint_tail,
            declared: &self.endpoints,
            born: timing.born(),
            calls_per_day: timing.calls_per_day(),
            has_peers: fleet.has_peers(),
            alarm: thresholds.calls,
        }
    }

    /// What an agent's timing is read against.
    pub(crate) fn timing<'a>(
        fleet: &'a Published,
        thresholds: &Thresholds,
        volume: &Volume,
    ) -> timing::Context<'a> {
        timing::Context {
            peers: &fleet.timing,
            has_peers: fleet.has_peers(),
            widening: fleet.widening.of(combine::TIMING),
            rate_octaves: volume.rate_octaves(),
            rate_variance: volume.rate_variance(),
            alarm: thresholds.timing,
        }
    }
}

impl Profile {
    /// What this agent's sessions are read against.
    pub(crate) fn session_ctx<'a>(
        &'a self,
        fleet: &'a Published,
        thresholds: &Thresholds,
        is_established: bool,
        own_share: f64,
    ) -> session::Context<'a> {
        let group = self.group(&fleet.sessions);
        let (by, model) = fleet.sessions.model_of(group);
        session::Context {
            model,
            group,
            by,
            version: fleet.version,
            routes: &fleet.routes,
            declared: &self.declared.endpoints,
            rule: self.endpoints.session_rule((self.timing.born(), self.last), &fleet.session_tail),
            alarm: thresholds.session,
            drift_days: thresholds.drift_days,
            born: self.timing.born(),
            endpoints: &self.endpoints,
            own_share,
            is_established,
            has_peers: fleet.has_peers(),
        }
    }

    /// What this agent's context is read against.
    pub(crate) fn context_ctx<'a>(
        &self,
        fleet: &'a Published,
        thresholds: &Thresholds,
        is_established: bool,
    ) -> context::Context<'a> {
        context::Context {
            model: &fleet.context,
            has_peers: fleet.has_peers(),
            widening: fleet.widening.of(combine::CONTEXT),
            born: self.timing.born(),
            calls_per_day: self.timing.calls_per_day(),
            is_suspect: self.suspect,
            is_established,
            alarm: thresholds.context,
            watch: thresholds.watch,
            step_up: thresholds.step_up,
        }
    }

    /// The smallest change that would have kept a part under the watch budget, after the call at `ts`, which `volume` read.
    pub(crate) fn quiet_at(
        &self,
        part: &Part,
        (volume, ts): (Option<volume::Place>, Timestamp),
        (fleet, thresholds): (&Published, &Thresholds),
    ) -> f64 {
        let allowed = |family| combine::allowed(family, thresholds.watch);
        match part.signal {
            Signal::Volume => {
                let ctx = self.declared.volume(fleet, thresholds);
                let share = if self.place.carries(self.key) { combine::OWN_SHARE.log2 } else { 0.0 };
                self.volume.quiet_at(volume, ts, allowed(combine::VOLUME) - share, ctx)
            }
            Signal::Endpoint if matches!(part.pattern, Pattern::Foreign | Pattern::AsUsual) => {
                let ctx = self.declared.endpoint(fleet, thresholds, &self.timing);
                let level = allowed(combine::ENDPOINT) - combine::CALLS_SHARE.log2;
                self.endpoints.quiet_share(ts, part.expected, level, ctx)
            }
            Signal::LookElsewhere => part.quiet_at,
            Signal::Timing | Signal::Endpoint | Signal::Context => part.expected,
        }
    }

    /// What the agent's own volume says at its share of the family's budget: all of it, but of an agent that is in a line.
    pub(crate) fn share_of_volume(&self, own: Evidence) -> Evidence {
        if self.place.carries(self.key) { own.at_share(combine::OWN_SHARE) } else { own }
    }

    /// Brings what a call reads on its way from memory, all of it at once: a profile spans 55 cache lines, and waiting for one
    /// after the other is most of what a call costs.
    pub(crate) fn fetch(&self) {
        std::hint::black_box((
            self.due,
            self.suspect,
            self.volume.fetch(),
            self.timing.fetch(),
            self.endpoints.fetch(),
            self.circumstances.fetch(),
            self.rules.fetch(),
        ));
    }

    /// Tells the group what is suspect of this agent; gives what of it others do too. Of that no monitor hears: it says nothing
    /// of how often an agent's levels are wrong. What is its line's is heard as that line's, `line`.
    pub(crate) fn tell(
        &mut self,
        (ts, presence, act, peers): (Timestamp, &Presence, Act<'_>, &Peers),
        score: &Score,
        jump: f32,
        (monitor, cohorts): (&mut Monitor, &mut Cohorts),
        line: Option<&mut Heard>,
        thresholds: &Thresholds,
    ) -> Option<Cohort> {
        if score.level < thresholds.watch {
            return None;
        }
        let (key, issuer, agent_id) = (self.key.hash(), self.name.issuer(), self.name.agent_id());
        let group = self.group(peers).map(|id| (id, peers.name_of(id)));
        let group = group.as_ref().map(|(id, name)| (*id, &**name));
        let who = Speaker { presence, key, issuer, agent_id, group, jump, act };
        let cohort = cohorts.hear(&mut self.kin, &who, score, thresholds.watch);
        if cohort.is_none_or(|cohort| cohort.own >= thresholds.watch) {
            monitor.hear(line.unwrap_or(&mut self.heard), ts, score, thresholds);
        }
        cohort
    }

    pub(crate) fn new(
        (issuer, agent_id): (Option<&str>, &str),
        ts: Timestamp,
        declared: Arc<Declared>,
        fleet: &Published,
        thresholds: &Thresholds,
    ) -> Self {
        Self {
            key: Key::new(issuer, agent_id),
            last: ts,
            presence: Presence::default(),
            source: 0,
            due: ts + silence::PATIENCE_MAX,
            silence: None,
            volume: Volume::new(ts, declared.volume(fleet, thresholds)),
            timing: Timing::new(ts, &fleet.timing),
            endpoints: Endpoints::new(ts),
            circumstances: Circumstances::new(ts),
            rules: Rules::new(),
            suspect: false,
            told: Told::default(),
            heard: Heard::default(),
            kin: Kin::default(),
            membership: Membership::default(),
            place: Place::default(),
            declared,
            name: Name::new(issuer, agent_id),
        }
    }
}
