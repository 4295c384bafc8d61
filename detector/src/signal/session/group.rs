//! The sessions of one peer group: a model of its own, small enough that there may be one for each group.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::model::{End, SessionModel};
use super::{Closed, RING, Ruling, Standing};
use crate::route::{Renamed, Routes};

/// A model of fewer sessions finds everything surprising; where sessions ended by it says nothing of where they will.
const CALIBRATES_AFTER: f64 = 50.0;

/// What a peer group's sessions have held and where normal ones end. At most 128 KiB.
///
/// The fleet's model keeps its last sessions and leaves each out of the counts in turn. Here each is read once, by the version
/// that scores while it is under way and has not learned it, and where it ended is all that is kept: a tenth of the memory, and the
/// very comparison that scoring makes. What it costs is that ends of the first few hundred sessions are read too high, by a model that
/// knows little: so it speaks once there are as many as are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupModel {
    model: SessionModel,
    /// Pair, kernel, coverage, role and order of the last normal ones.
    ends: VecDeque<[f32; 5]>,
}

impl Default for GroupModel {
    fn default() -> Self {
        Self { model: SessionModel::of_a_group(), ends: VecDeque::new() }
    }
}

impl GroupModel {
    /// None while so few sessions are known that the fleet's model says more, and while a table is full: what is not in it is as new as what
    /// never came, so that agents who call it would be of a kind of their own, and their sessions compared with nothing. From 150 on (study §3) a group could be compared with itself;
    /// the recorded agents' attacks were then found less often than by the fleet (AUC .82 in place of .85).
    pub(crate) fn speaks(&self) -> Option<&SessionModel> {
        (self.ends.len() >= RING && !self.model.is_full()).then_some(&self.model)
    }

    /// Normal sessions that calibrate it.
    pub(crate) fn calibrated_by(&self) -> usize {
        self.ends.len()
    }

    /// Learns sessions that have closed since the last version.
    pub(super) fn publish<'a>(&mut self, closed: impl Iterator<Item = &'a Closed> + Clone) {
        if closed.clone().next().is_none() {
            return;
        }
        if self.model.learned() >= CALIBRATES_AFTER {
            for session in closed.clone().filter(|session| session.calibrates()) {
                if self.ends.len() >= RING {
                    self.ends.pop_front();
                }
                let End { content: [pair, kernel, coverage], role, order } =
                    self.model.end_without(session, 0.0);
                self.ends.push_back([pair, kernel, coverage, role, order].map(|end| end as f32));
            }
        }
        closed.for_each(|session| self.model.learn(session));
        self.model.count_singles();
        self.model.take_stock();
        self.model.calibrate(self.ends.iter().map(|end| {
            let [pair, kernel, coverage, role, order] = end.map(f64::from);
            End { content: [pair, kernel, coverage], role, order }
        }));
    }

    pub(crate) fn take_stock(&mut self) {
        self.model.take_stock();
    }

    pub(crate) fn rename(&mut self, news: &[Renamed], routes: &Routes) {
        self.model.rename(news, routes);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.ends.capacity() * size_of::<[f32; 5]>() + self.model.bytes_of_tables()
    }
}

impl Closed {
    /// What it called, where it may say to which group its agent belongs: a session that would teach nobody moves nobody, nor does
    /// one of an agent that drifts. An agent of no group yet has nothing that a move could hide.
    pub(super) fn called(&self, ruling: Ruling, standing: Standing) -> Option<Box<[u64]>> {
        let counts = match ruling {
            Ruling::Awaited => false,
            Ruling::Benign => true,
            Ruling::None => standing != Standing::Drifting && (self.weight() > 0.0 || self.group.is_none()),
        };
        counts.then(|| self.calls.iter().map(|seen| seen.endpoint).collect())
    }
}
