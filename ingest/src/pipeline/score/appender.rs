//! Appends to a log that ClickHouse is fed from, while its caller goes on.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::log::{Log, LogError, NewEntry, Outcome};

/// One batch of entries is under way at a time, so they lie in the log in their order. For a thread that is none of the runtime's.
#[derive(Debug)]
pub struct Appender {
    log: Log,
    runtime: Handle,
    /// Not known to be durable yet.
    under_way: Option<Arc<[NewEntry]>>,
    attempt: Option<JoinHandle<Result<Vec<Outcome>, LogError>>>,
}

impl Appender {
    /// One with nothing under way.
    pub fn new(log: Log, runtime: Handle) -> Self {
        Self { log, runtime, under_way: None, attempt: None }
    }

    /// Begins to append these. What was begun before must have landed.
    pub fn begin(&mut self, entries: Vec<NewEntry>) {
        if entries.is_empty() {
            return;
        }
        let entries: Arc<[NewEntry]> = entries.into();
        self.under_way = Some(Arc::clone(&entries));
        let log = self.log.clone();
        self.attempt = Some(self.runtime.spawn(async move { log.append_when_room(entries).await }));
    }

    /// Waits until all that was begun is durable. After an error it may be called again, and tries again.
    pub fn land(&mut self) -> Result<(), LogError> {
        let Some(entries) = &self.under_way else { return Ok(()) };
        let landed = match self.attempt.take() {
            Some(attempt) => matches!(self.runtime.block_on(attempt), Ok(Ok(_))),
            None => false,
        };
        if !landed {
            self.runtime.block_on(self.log.append_when_room(Arc::clone(entries)))?;
        }
        self.under_way = None;
        Ok(())
    }
}
