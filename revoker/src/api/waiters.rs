//! Those who wait for an answer: a bounded number, woken when it comes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::approval::ApprovalId;

/// Waiting requests at most. Whoever comes after is answered at once and asks again.
const WAITERS_MAX: usize = 1_024;

/// Answers that a waiter may fall behind by before it looks for itself.
const BACKLOG: usize = 64;

/// The bell that a human's answer rings. Cheap to clone.
#[derive(Clone)]
pub(super) struct Waiters {
    places: Arc<Semaphore>,
    bell: broadcast::Sender<ApprovalId>,
}

impl Default for Waiters {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(WAITERS_MAX)), bell: broadcast::channel(BACKLOG).0 }
    }
}

impl Waiters {
    /// A place to wait in, while there is one.
    pub(super) fn enter(&self) -> Option<Waiter> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Waiter { _place: place, bell: self.bell.subscribe() })
    }

    /// This question was just answered.
    pub(super) fn wake(&self, id: &ApprovalId) {
        // Nobody waiting is no error.
        let _heard: Result<usize, _> = self.bell.send(id.clone());
    }
}

/// One who waits.
pub(super) struct Waiter {
    _place: OwnedSemaphorePermit,
    bell: broadcast::Receiver<ApprovalId>,
}

impl Waiter {
    /// Returns when `id` may have been answered.
    pub(super) async fn rung(&mut self, id: &ApprovalId) {
        loop {
            match self.bell.recv().await {
                Ok(answered) if answered == *id => return,
                Ok(_) => {}
                // Too much at once: look.
                Err(broadcast::error::RecvError::Lagged(_)) => return,
                // The server is going down; the request's own end comes first.
                Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_hears_its_own_answer_only() {
        let waiters = Waiters::default();
        let (mine, other) = (ApprovalId::random(), ApprovalId::random());
        let mut waiter = waiters.enter().unwrap();
        waiters.wake(&other);
        waiters.wake(&mine);
        waiter.rung(&mine).await;
        assert!(waiter.bell.is_empty(), "both were heard, the second was the one");
    }

    #[tokio::test]
    async fn places_are_limited_and_given_back() {
        let waiters = Waiters::default();
        let all: Vec<_> = std::iter::from_fn(|| waiters.enter()).collect();
        assert_eq!(all.len(), WAITERS_MAX);
        assert!(waiters.enter().is_none());
        drop(all);
        assert!(waiters.enter().is_some());
    }
}
