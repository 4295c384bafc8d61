//! What sessions that are over teach.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::model::SessionModel;
use super::{CALIBRATES_FROM, CLOSED_MAX, Closed, RING};
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

    /// The model learns what has closed since, in the order in which it did.
    pub(crate) fn publish(&mut self, model: &mut SessionModel, routes: &Routes) {
        if self.closed.is_empty() {
            return;
        }
        self.ring.iter_mut().for_each(|session| session.rename(routes));
        for mut session in self.closed.drain(..) {
            session.rename(routes);
            model.learn(&session);
            if session.chance > CALIBRATES_FROM || session.may_be_odd {
                if self.ring.len() >= RING {
                    self.ring.pop_front();
                }
                self.ring.push_back(session);
            }
        }
        model.publish(self.ring.iter());
    }
}
