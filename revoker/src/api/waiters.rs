//! Those who wait for an answer: a bounded number, and one look for all of them.
//!
//! Every waiter of a question hears through the same channel. While anybody waits, one task hears which questions a commit ended and
//! reads each that is waited for once, for all who wait for it. Once a second, for what lapses or was missed, it looks which of those
//! waited for are pending, by one query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::Api;
use crate::approval::{Approval, ApprovalId};
use crate::revoker::Settled;
use crate::store::{StoreError, approvals};

/// Waiting requests at most, of all kinds. Whoever comes after is answered at once and asks again.
const WAITERS_MAX: usize = 16_384;

/// How often what makes no commit is looked for: a question that lapses.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Commits of other processes that come together are one look.
const GATHER: Duration = Duration::from_millis(20);

/// Questions read at a time, so that other readers come in between.
const CHUNK: usize = 256;

/// Where the settled approval is told; none while it is pending.
type Told = watch::Sender<Option<Arc<Approval>>>;

/// The place to wait in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Waiters {
    places: Arc<Semaphore>,
    board: Arc<Mutex<Board>>,
}

#[derive(Default)]
struct Board {
    asked: HashMap<ApprovalId, Told>,
    /// Whether the task runs.
    looks: bool,
}

impl Default for Waiters {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(WAITERS_MAX)), board: Arc::default() }
    }
}

impl Waiters {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The questions that somebody still waits for; none, and then the task has ended.
    fn asked(&self) -> Option<Vec<ApprovalId>> {
        let mut board = self.board();
        board.asked.retain(|_, told| told.receiver_count() > 0);
        board.looks = !board.asked.is_empty();
        board.looks.then(|| board.asked.keys().cloned().collect())
    }

    /// Those of the questions that somebody waits for.
    fn of(&self, ids: &[ApprovalId]) -> Vec<ApprovalId> {
        let board = self.board();
        ids.iter().filter(|id| board.asked.contains_key(*id)).cloned().collect()
    }

    fn tell(&self, approval: Approval) {
        if let Some(told) = self.board().asked.remove(&approval.id) {
            told.send_replace(Some(Arc::new(approval)));
        }
    }
}

impl Api {
    /// A place to wait for this question in, while there is one. Look at the question after this: what was settled before may not be
    /// told.
    pub(super) fn wait_for(&self, id: &ApprovalId) -> Option<Waiter> {
        let place = Arc::clone(&self.waiters.places).try_acquire_owned().ok()?;
        let mut board = self.waiters.board();
        let told = board.asked.entry(id.clone()).or_insert_with(|| watch::channel(None).0).subscribe();
        if !board.looks {
            board.looks = true;
            tokio::spawn(look(self.clone()));
        }
        Some(Waiter { _place: place, told })
    }
}

/// One who waits.
pub(super) struct Waiter {
    _place: OwnedSemaphorePermit,
    told: watch::Receiver<Option<Arc<Approval>>>,
}

impl Waiter {
    /// Returns once the question is no longer pending.
    pub(super) async fn settled(&mut self) -> Arc<Approval> {
        match self.told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone()) {
            Some(approval) => approval,
            // The server is going down; the request's own end comes first.
            None => std::future::pending().await,
        }
    }
}

/// Tells all waiters what they wait for, until nobody waits or the server ends.
async fn look(api: Api) {
    let mut settled = api.revoker.settled();
    let mut again = tokio::time::interval(LOOK_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let heard = tokio::select! {
            () = api.stop.cancelled() => return,
            _ = again.tick() => None,
            // One that is too far behind looks at all.
            heard = settled.recv() => Some(heard.unwrap_or(Settled::Unknown)),
        };
        let told = if let Some(Settled::These(ids)) = heard {
            tell(&api, api.waiters.of(&ids)).await
        } else {
            if heard.is_some() {
                tokio::time::sleep(GATHER).await;
            }
            // Before the look, so that what is committed during it is heard again.
            settled = settled.resubscribe();
            let Some(asked) = api.waiters.asked() else { return };
            tell_settled(&api, asked).await
        };
        if let Err(e) = told {
            tracing::warn!(error = %e, "those who wait for an approval are told later");
        }
    }
}

/// Looks which are no longer pending.
async fn tell_settled(api: &Api, mut asked: Vec<ApprovalId>) -> Result<(), StoreError> {
    let now = api.now();
    let pending = api.revoker.read(move |db| approvals::pending(db, now).map_err(StoreError::from)).await?;
    asked.retain(|id| !pending.contains(id.as_str()));
    tell(api, asked).await
}

/// Tells those who wait for these, which are settled.
async fn tell(api: &Api, settled: Vec<ApprovalId>) -> Result<(), StoreError> {
    for chunk in settled.chunks(CHUNK) {
        let chunk = chunk.to_vec();
        let found = api.revoker.read(move |db| {
            let found = chunk.iter().filter_map(|id| approvals::by_id(db, id).transpose());
            found.collect::<Result<Vec<Approval>, _>>().map_err(StoreError::from)
        });
        for approval in found.await? {
            api.waiters.tell(approval);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, open};

    #[tokio::test]
    async fn places_are_limited_and_given_back_and_nobody_looks_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let api = Api::new(open(folder.path()), "http://tocsin.test", Arc::new(|| at(0)));
        let id = ApprovalId::random();
        let all: Vec<_> = std::iter::from_fn(|| api.wait_for(&id)).collect();
        assert_eq!(all.len(), WAITERS_MAX);
        assert_eq!(api.waiters.board().asked.len(), 1, "one channel for all of a question");
        drop(all);
        assert!(api.waiters.asked().is_none() && !api.waiters.board().looks);
        assert!(api.wait_for(&id).is_some());
    }
}
