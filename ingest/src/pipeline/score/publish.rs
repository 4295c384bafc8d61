//! Appends verdicts to the log that ClickHouse is fed from, while the next calls are scored.

use std::sync::Arc;

use detector::VerdictRecord;
use tokio::task::JoinHandle;

use crate::log::{Log, LogError, NewEntry, Outcome};
use crate::pipeline::verdict;
use crate::retry::{Patience, Stopped};

/// One batch of verdicts is under way at a time, so they lie in the log in their order.
pub(super) struct Publisher {
    log: Log,
    /// Not known to be durable yet.
    under_way: Option<Arc<[NewEntry]>>,
    attempt: Option<JoinHandle<Result<Vec<Outcome>, LogError>>>,
}

impl Publisher {
    pub(super) fn new(log: Log) -> Self {
        Self { log, under_way: None, attempt: None }
    }

    /// Waits for the verdicts before these, and begins to append these.
    pub(super) fn publish(&mut self, records: &[VerdictRecord], patience: &Patience) -> Result<(), Stopped> {
        self.land(patience)?;
        if records.is_empty() {
            return Ok(());
        }
        let encode = || records.iter().map(verdict::entry_of).collect::<Result<Arc<[_]>, _>>();
        let entries = patience.until_done("encoding verdicts", encode)?;
        self.under_way = Some(Arc::clone(&entries));
        let log = self.log.clone();
        self.attempt = Some(patience.runtime.spawn(async move { log.append_when_room(entries).await }));
        Ok(())
    }

    /// Waits until everything published is durable.
    pub(super) fn land(&mut self, patience: &Patience) -> Result<(), Stopped> {
        let Some(entries) = &self.under_way else { return Ok(()) };
        let landed = match self.attempt.take() {
            Some(attempt) => matches!(patience.runtime.block_on(attempt), Ok(Ok(_))),
            None => false,
        };
        if !landed {
            let append = || self.log.append_when_room(Arc::clone(entries));
            patience.until_done_async("publishing verdicts", append)?;
        }
        self.under_way = None;
        Ok(())
    }
}
