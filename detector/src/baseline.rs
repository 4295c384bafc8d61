//! Versions of what an agent is like: told when that has moved and before a person changes it, to be compared and gone back to.
//!
//! Once a day at most, before the first call of a day of event time, it is asked whether the baseline has moved: the rate by a
//! quarter of an octave, or what the agent calls, or from where. A fleet that stays as it is tells nothing.

mod summary;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::summary::{EndpointShare, Known, Summary};
use crate::detector::{Detector, State};
use crate::fleet::Fleet;
use crate::lane::{Admitted, lane_of};
use crate::profile::{Key, Profile};
use crate::signal::context::Circumstances;
use crate::signal::endpoint::Endpoints;
use crate::signal::timing::Timing;
use crate::signal::volume::Volume;
use crate::source::Outage;
use crate::{Call, Timestamp};

const DAY: Duration = Duration::from_hours(24);
/// The rate is kept in such steps of an octave, and has moved when it is so many of them off.
const STEPS_AN_OCTAVE: f64 = 8.0;
const MOVED_STEPS: i16 = 2;

/// Why a version was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionCause {
    /// The baseline has moved since the last one.
    Moved,
    /// A person ruled on the evidence; it is what the agent was like before.
    Ruling,
    /// A person went back to an earlier one; it is what the agent was like before.
    Revert,
}

impl VersionCause {
    /// The name in tables and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Ruling => "ruling",
            Self::Revert => "revert",
        }
    }
}

/// A version of an agent's baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// Under which issuer the agent is named.
    pub issuer: Option<String>,
    /// The agent.
    pub agent_id: String,
    /// The agent's last call before it, event time.
    pub ts: Timestamp,
    /// Why it was told,
    pub cause: VersionCause,
    /// and because of which record.
    pub event_id: String,
    /// What it says, for people.
    pub summary: Summary,
    /// The baseline itself.
    pub state: AgentState,
}

/// An agent's past as the signals keep it. How it is laid out changes with versions of this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    key: Key,
    last: Timestamp,
    volume: Volume,
    timing: Timing,
    endpoints: Endpoints,
    circumstances: Circumstances,
}

/// Why an agent could not be taken back to an earlier baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevertError {
    /// It is not in memory: it never called, or not for so long that it was forgotten.
    #[error("the agent is not known")]
    Unknown,
    /// The baseline is not its own.
    #[error("the baseline is another agent's")]
    AnotherAgents,
}

/// What of a baseline is remembered to see that it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The last day on which it was asked, and the agent's rate and habits when it was told last; 0 where it never was.
    day: u16,
    rate: i16,
    habits: u16,
}

impl From<&Profile> for AgentState {
    fn from(p: &Profile) -> Self {
        Self {
            key: p.key,
            last: p.last,
            volume: p.volume.clone(),
            timing: p.timing.clone(),
            endpoints: p.endpoints.clone(),
            circumstances: p.circumstances.clone(),
        }
    }
}

impl Detector {
    /// Versions of baselines that became due since this was last asked, in order; none unless the settings ask for them.
    pub fn baselines(&mut self) -> Vec<Baseline> {
        std::mem::take(&mut self.baselines)
    }

    /// An agent's present baseline.
    pub fn agent_state(&self, issuer: Option<&str>, agent_id: &str) -> Option<AgentState> {
        self.find(Key::new(issuer, agent_id)).map(|i| (&self.state.profiles[i]).into())
    }

    /// The agent of `call` goes back to an earlier baseline. Of the time since then nothing is known: no call of it is missed,
    /// and none is learned.
    pub fn revert(&mut self, call: &Call<'_>, state: AgentState) -> Result<(), RevertError> {
        let i = self.find(Key::of(call)).ok_or(RevertError::Unknown)?;
        if self.state.profiles[i].key != state.key {
            return Err(RevertError::AnotherAgents);
        }
        self.keep_version(i, VersionCause::Revert, call);
        let State { profiles, lanes, thresholds, fleet: Fleet { published, .. }, .. } = &mut self.state;
        let p = &mut profiles[i];
        let tally = &mut lanes[lane_of(p.key)].tally;
        let AgentState { last, volume, timing, endpoints, circumstances, .. } = state;
        (p.volume, p.timing, p.endpoints, p.circumstances) = (volume, timing, endpoints, circumstances);
        let ctx = p.declared.volume(published, thresholds);
        let unknown = [Outage { since: last, until: p.last.max(last) }];
        p.volume.advance_through((last, p.last), &unknown, ctx, &mut tally.volume);
        p.timing.skip_to(p.last);
        p.suspect = false;
        Ok(())
    }

    /// Whether a call is the first of a day of its agent: of event time as it stands, since one that is dated in 2099 would be the
    /// last one asked about.
    pub(crate) fn is_baseline_due(&self, admitted: &Admitted<'_, '_>) -> bool {
        admitted.call.kind.is_call()
            && day_of(admitted.presence.seen()) > self.state.profiles[admitted.profile].told.day
    }

    /// Before a call: on a new day it is asked whether the agent's baseline has moved.
    pub(crate) fn look_at_baseline(&mut self, admitted: &Admitted<'_, '_>) {
        if !self.is_baseline_due(admitted) {
            return;
        }
        let i = admitted.profile;
        let Fleet { published, .. } = &self.state.fleet;
        let p = &mut self.state.profiles[i];
        p.told.day = day_of(admitted.presence.seen());
        if !p.presence.is_established() {
            return;
        }
        let ctx = p.declared.volume(published, &self.state.thresholds);
        let rate = libm::round(STEPS_AN_OCTAVE * libm::log2(p.volume.per_hour(ctx).max(1e-6))) as i16;
        let habits = habits(p);
        if p.told.habits != habits || (rate - p.told.rate).abs() >= MOVED_STEPS {
            self.keep_version(i, VersionCause::Moved, admitted.call);
        }
    }

    /// Tells the baseline as it is now, because of `record`, where the settings ask for that.
    pub(crate) fn keep_version(&mut self, i: usize, cause: VersionCause, record: &Call<'_>) {
        let Fleet { published, .. } = &self.state.fleet;
        let p = &mut self.state.profiles[i];
        let ctx = p.declared.volume(published, &self.state.thresholds);
        let rate = libm::round(STEPS_AN_OCTAVE * libm::log2(p.volume.per_hour(ctx).max(1e-6))) as i16;
        (p.told.rate, p.told.habits) = (rate, habits(p));
        if !self.state.config.keeps_baselines {
            return;
        }
        let baseline = Baseline {
            issuer: p.name.issuer().map(str::to_owned),
            agent_id: p.name.agent_id().to_owned(),
            ts: p.last,
            cause,
            event_id: record.event_id.to_string(),
            summary: Summary::of(p, published, &self.state.thresholds),
            state: (&*p).into(),
        };
        self.baselines.push(baseline);
    }
}

fn day_of(ts: Timestamp) -> u16 {
    u16::try_from(ts.as_millis() / DAY.as_millis() as i64).unwrap_or(0)
}

/// What an agent calls and how it is known, in one number other than 0.
fn habits(p: &Profile) -> u16 {
    let mut all = p.endpoints.habitual();
    all.sort_unstable();
    let known = p.circumstances.known();
    let whole = all.into_iter().chain(known.into_iter().flat_map(|(_, values)| values).map(u64::from));
    let hash = whole.fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| {
        (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    ((hash >> 48) as u16).max(1)
}
