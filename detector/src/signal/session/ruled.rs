//! What becomes of an agent's sessions once a person has ruled on its evidence; by that and by what the agent is they teach others.

use serde::{Deserialize, Serialize};

use super::{Closed, Ended, SessionTally, Sessions};
use crate::Timestamp;
use crate::peers::Peers;
use crate::profile::Key;

/// What an agent is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    Newcomer,
    Established,
    /// Established, and about to become another.
    Drifting,
}

/// What a person has to say of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ruling {
    /// Nothing: nobody is asked.
    None,
    /// It stood so high that one is asked, and the answer is out.
    Awaited,
    /// That it is normal.
    Benign,
}

impl Sessions {
    /// A person ruled the agent's present evidence benign: its sessions that waited for that teach in full.
    pub(crate) fn accept(&mut self, agent: Key, tally: &mut SessionTally) {
        self.live.values_mut().filter(|s| s.agent == agent).for_each(|s| s.ruling = Ruling::Benign);
        let (its, others) = tally.pending.drain(..).partition(|(whose, _)| *whose == agent);
        tally.pending = others;
        for (agent, session) in its {
            let mut ended = Ended::of(agent, Timestamp::default(), None);
            ended.called = session.called(Ruling::Benign, Standing::Established);
            self.end_normally(ended, session.chance);
            tally.learn(Closed { chance: 1.0, ..session });
        }
    }

    /// A person ruled that the agent was changed on purpose: its sessions that waited teach in full, and so do those under way,
    /// which end here.
    pub(crate) fn adopt(&mut self, agent: Key, peers: &Peers, tally: &mut SessionTally) {
        self.accept(agent, tally);
        let its = self.live.iter().filter(|(_, live)| live.agent == agent);
        let mut its: Vec<(Timestamp, u64)> = its.map(|(key, live)| (live.last, *key)).collect();
        its.sort_unstable();
        for (_, key) in its {
            self.close(key, peers, tally);
        }
    }

    /// A person ruled that it was not the agent: its sessions that waited teach nobody, and neither do those under way.
    pub(crate) fn disown(&mut self, agent: Key, tally: &mut SessionTally) {
        tally.pending.retain(|(whose, _)| *whose != agent);
        self.live.retain(|_, live| live.agent != agent);
    }
}
