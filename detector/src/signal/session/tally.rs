//! What sessions that are over teach.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{CLOSED_MAX, Closed, RING};
use crate::peers::Peers;
use crate::profile::Key;
use crate::route::Routes;
use crate::signal::tail::PeerTail;

/// What closed sessions teach the next version of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionTally {
    pub(super) closed: Vec<Closed>,
    /// Sessions that wait for a person's word, and whose they were.
    pub(super) pending: VecDeque<(Key, Closed)>,
    pub(super) ring: VecDeque<Closed>,
    /// What excursions have been.
    pub(crate) tail: PeerTail,
}

impl SessionTally {
    /// It teaches once its turn comes.
    pub(super) fn learn(&mut self, session: Closed) {
        if self.closed.len() < CLOSED_MAX && !session.calls.is_empty() {
            self.closed.push(session);
        }
    }

    /// Takes up what others have learned, and leaves them nothing but what waits.
    pub(crate) fn take_up(&mut self, other: &mut Self) {
        self.closed.append(&mut other.closed);
        self.tail.take_up(&mut other.tail);
    }

    /// The fleet's model and that of each one's group learn what has closed since, in the order in which it did.
    pub(crate) fn publish(&mut self, peers: &mut Peers, routes: &Routes) {
        if self.closed.is_empty() {
            return;
        }
        self.ring.iter_mut().chain(&mut self.closed).for_each(|session| session.rename(routes));
        for (id, model) in peers.models_mut() {
            model.publish(self.closed.iter().filter(|session| session.group == Some(id)));
        }
        let fleet = &mut peers.fleet;
        for mut session in self.closed.drain(..) {
            let before = fleet.learned();
            fleet.learn(&session);
            if fleet.learned() < before {
                self.ring.iter_mut().chain([&mut session]).for_each(|session| session.left /= 2.0);
            }
            if session.calibrates() {
                if self.ring.len() >= RING {
                    self.ring.pop_front();
                }
                self.ring.push_back(session);
            }
        }
        fleet.publish(self.ring.iter());
    }
}
