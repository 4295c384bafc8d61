//! What a person says of an agent's standing evidence, and what becomes of what the agent did meanwhile.
//!
//! A ruling is a record of the log, so that a replay learns what the live run learned. It is about the agent as it stands
//! where the record stands: the person's clock decides nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::baseline::VersionCause;
use crate::detector::{Detector, State};
use crate::fleet::Fleet;
use crate::lane::{Lane, lane_of};
use crate::profile::Key;
use crate::{Call, Timestamp};

/// What is first seen of an agent is marked as recent for so long, and as long again as of the time before.
const PERIOD: Duration = Duration::from_hours(72);

/// What a person says of an agent's standing evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It is normal, as the agent is: what waited is learned, and the agent stays what it was. Where the record names an endpoint one
    /// act alone was let go on: of what the agent first called under suspicion that endpoint is learned, and its sessions wait on.
    #[default]
    Benign,
    /// The agent was changed on purpose: what it does now is normal at once, and what it did before counts less.
    Deploy,
    /// The same of all agents that are part of the same cohort incident, while that goes on.
    CohortDeploy,
    /// It was not the agent, or not its owner's will: what waited is deleted, and what was first seen of it lately with it.
    Malicious,
}

impl Ruling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Benign, Self::Deploy, Self::CohortDeploy, Self::Malicious];

    /// The name in the native schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Deploy => "deploy",
            Self::CohortDeploy => "cohort_deploy",
            Self::Malicious => "malicious",
        }
    }
}

/// When something was first seen, as far as it takes to tell what an incident brought from what was there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Period(u16);

impl Period {
    pub(crate) fn of(ts: Timestamp) -> Self {
        Self((ts.as_millis() / PERIOD.as_millis() as i64).clamp(0, i64::from(u16::MAX)) as u16)
    }

    /// Periods since `before`, at most two: what is older is not told apart.
    pub(crate) fn since(self, before: Self) -> u32 {
        u32::from(self.0.saturating_sub(before.0)).min(2)
    }
}

/// How far back what was first seen is taken for part of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The present period, in which the incident began.
    Recent,
    /// That and the one before.
    Both,
}

impl Detector {
    /// A person has ruled. Does nothing for an agent never seen.
    pub(crate) fn rule(&mut self, call: &Call<'_>) {
        let Some(i) = self.find(Key::of(call)) else { return };
        self.keep_version(i, VersionCause::Ruling, call);
        match call.ruling {
            Ruling::Benign => {
                let act = (!call.endpoint.is_empty())
                    .then(|| self.state.fleet.published.routes.resolve(call, false));
                self.accept(i, act);
            }
            Ruling::Deploy => self.adopt(i),
            Ruling::CohortDeploy => {
                let (cohorts, profiles) = (&self.state.fleet.cohorts, &self.state.profiles);
                let kin = |of: usize| (profiles[of].key.hash(), &profiles[of].kin);
                let shares = |other: &usize| cohorts.are_together(kin(i), kin(*other));
                let others: Vec<usize> =
                    (0..self.state.profiles.len()).filter(|other| *other != i).filter(shares).collect();
                for other in others {
                    self.keep_version(other, VersionCause::Ruling, call);
                    self.adopt(other);
                }
                self.adopt(i);
            }
            Ruling::Malicious => self.disown(i),
        }
        self.learn_ended_sessions();
    }

    fn accept(&mut self, i: usize, act: Option<u64>) {
        let (shared, profiles, lanes, _) = self.state.split();
        let p = &mut profiles[i];
        lanes[lane_of(p.key)].accept(p, act, shared);
        self.state.accept_line(i);
    }

    fn adopt(&mut self, i: usize) {
        let State { profiles, lanes, thresholds, fleet: Fleet { published, monitor, .. }, .. } =
            &mut self.state;
        let p = &mut profiles[i];
        let Lane { sessions, tally, .. } = &mut lanes[lane_of(p.key)];
        let has_another_rate = p.volume.adopt(p.last, p.declared.volume(published, thresholds));
        p.timing.adopt(has_another_rate, &published.timing);
        p.endpoints.adopt();
        p.circumstances.adopt();
        sessions.adopt(p.key, &published.sessions, &mut tally.sessions);
        p.rules.accept();
        monitor.take_back(&mut p.heard);
        p.suspect = false;
        self.state.rule_on_line(i, true);
    }

    fn disown(&mut self, i: usize) {
        let State { profiles, lanes, thresholds, fleet, .. } = &mut self.state;
        let Fleet { published, tally: of_fleet, monitor, .. } = fleet;
        let p = &mut profiles[i];
        let Lane { sessions, tally, .. } = &mut lanes[lane_of(p.key)];
        let volume_ctx = p.declared.volume(published, thresholds);
        let began = [
            p.volume.stands_since(p.last, volume_ctx),
            p.timing.stands_since(),
            p.endpoints.stands_since(p.last),
            p.circumstances.stands_since(),
        ];
        // Where all of it has faded nobody knows since when it was.
        let began = began.into_iter().flatten().min();
        let is_recent = began.is_some_and(|began| Period::of(began) == Period::of(p.last));
        let reach = if is_recent { Reach::Recent } else { Reach::Both };
        p.volume.disown(began.unwrap_or(p.last), volume_ctx);
        p.timing.disown();
        p.endpoints.disown(p.last, reach);
        // What peers have learned of its news may be in the lane yet or in the fleet's sums.
        of_fleet.context.take_up(&mut tally.context);
        p.circumstances.disown(p.last, reach, (&mut published.context, &mut of_fleet.context));
        sessions.disown(p.key, &mut tally.sessions);
        monitor.take_back(&mut p.heard);
        p.suspect = false;
        self.state.rule_on_line(i, false);
    }
}
