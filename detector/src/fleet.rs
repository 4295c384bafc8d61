//! What is known of the fleet as a whole: the prior of every agent.
//!
//! Agents are scored with a *published* version of it. What they teach goes into the next one, which takes effect at a
//! boundary of event time, so that a score does not depend on who happened to be read first within it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::cohort::Cohorts;
use crate::combine::Thresholds;
use crate::lane::Lane;
use crate::monitor::{Monitor, Widening};
use crate::peers::{Grouping, Peers};
use crate::route::{Renamed, Routes};
use crate::signal::context::{ContextModel, ContextTally};
use crate::signal::endpoint::EndpointModel;
use crate::signal::session::SessionTally;
use crate::signal::tail::PeerTail;
use crate::signal::timing::TimingPrior;
use crate::signal::volume::{VolumePrior, VolumeTally};

/// While the fleet is young a version lives a minute, later an hour (design: architecture, "published version").
const YOUNG_FOR: Duration = Duration::from_hours(1);
const YOUNG_EVERY: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_hours(1);

/// First sights that one version can take up; a flood of new agents beyond that teaches nothing more.
const SIGHTS_MAX: usize = 65_536;

/// The published model and the one being learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fleet {
    pub(crate) published: Published,
    pub(crate) tally: Tally,
    pub(crate) monitor: Monitor,
    pub(crate) cohorts: Cohorts,
    pub(crate) grouping: Grouping,
    first: Option<Timestamp>,
    next: Option<Timestamp>,
}

/// What agents are scored with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) version: u32,
    pub(crate) volume: VolumePrior,
    pub(crate) timing: TimingPrior,
    pub(crate) endpoints: EndpointModel,
    pub(crate) sessions: Peers,
    pub(crate) session_tail: PeerTail,
    pub(crate) endpoint_tail: PeerTail,
    pub(crate) context: ContextModel,
    pub(crate) widening: Widening,
    pub(crate) routes: Routes,
}

impl Published {
    /// Whether anything is known of peers.
    pub(crate) fn has_peers(&self) -> bool {
        self.version > 0
    }
}

/// What agents teach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) volume: VolumeTally,
    pub(crate) timing: TimingPrior,
    pub(crate) sessions: SessionTally,
    /// How high agents' evidence of foreign calls rose.
    pub(crate) endpoint_tail: PeerTail,
    pub(crate) context: ContextTally,
    /// First sights since the last publication.
    sights: Vec<u64>,
}

impl Tally {
    /// Takes up what a lane has learned, and leaves it nothing but what waits.
    fn take_up(&mut self, lane: &mut Self) {
        self.volume.take_up(&mut lane.volume);
        self.timing.take_up(&mut lane.timing);
        self.sessions.take_up(&mut lane.sessions);
        self.endpoint_tail.take_up(&mut lane.endpoint_tail);
        self.context.take_up(&mut lane.context);
        self.take_up_sights(lane);
    }

    fn take_up_sights(&mut self, lane: &mut Self) {
        let room = SIGHTS_MAX.saturating_sub(self.sights.len());
        self.sights.extend(lane.sights.drain(..).take(room));
    }

    /// First sights by their new keys. An agent may have seen several that are one now: the most of one is taken, as a
    /// lower bound.
    fn rename(&mut self, news: &[Renamed], routes: &Routes) {
        let is_new: BTreeSet<u64> = news.iter().map(|n| routes.now(n.new)).collect();
        let mut sights: BTreeMap<u64, BTreeMap<u64, usize>> = BTreeMap::new();
        self.sights.retain(|&old| {
            let now = routes.now(old);
            let is_renamed = is_new.contains(&now);
            if is_renamed {
                *sights.entry(now).or_default().entry(old).or_default() += 1;
            }
            !is_renamed
        });
        for (now, counts) in sights {
            let most = counts.into_values().max().unwrap_or(0);
            self.sights.extend(std::iter::repeat_n(now, most));
        }
    }

    /// An agent has called this endpoint for the first time.
    pub(crate) fn sight(&mut self, endpoint: u64) {
        if self.sights.len() < SIGHTS_MAX {
            self.sights.push(endpoint);
        }
    }
}

impl Fleet {
    /// What a call has shown to vary becomes known: all that the fleet shares has the new keys at once.
    pub(crate) fn rename(&mut self, lanes: &mut [Lane]) {
        let news = self.published.routes.take_news();
        for renamed in &news {
            self.published.endpoints.rename(*renamed);
        }
        self.published.sessions.rename(&news, &self.published.routes);
        for lane in lanes {
            self.tally.take_up_sights(&mut lane.tally);
        }
        self.tally.rename(&news, &self.published.routes);
        self.cohorts.rename(&self.published.routes);
    }

    /// Publishes the next version if event time has reached its boundary. What the lanes' agents have taught is taken up in the
    /// lanes' order.
    pub(crate) fn tick(&mut self, watermark: Timestamp, thresholds: &Thresholds, lanes: &mut [Lane]) {
        self.cohorts.tick(watermark);
        let first = *self.first.get_or_insert(watermark);
        let every = if watermark.since(first) < YOUNG_FOR { YOUNG_EVERY } else { EVERY };
        let next = *self.next.get_or_insert(watermark.floor_to(every) + every);
        if watermark < next {
            return;
        }
        let Self { published, tally, monitor, grouping, .. } = self;
        for lane in lanes {
            tally.take_up(&mut lane.tally);
        }
        published.version += 1;
        published.volume = tally.volume.prior();
        published.timing = tally.timing;
        published.widening = monitor.close(watermark, thresholds);
        tally.sessions.publish(&mut published.sessions, &published.routes);
        grouping.publish(watermark, &mut published.sessions, &published.routes);
        published.session_tail = tally.sessions.tail;
        published.endpoint_tail = tally.endpoint_tail;
        tally.context.publish(&mut published.context);
        for endpoint in tally.sights.drain(..) {
            published.endpoints.add(endpoint);
        }
        self.next = Some(watermark.floor_to(every) + every);
    }
}
