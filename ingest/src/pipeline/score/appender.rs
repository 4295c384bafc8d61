//! Appends to a log that ClickHouse is fed from, while its caller goes on.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::log::{Log, LogError, NewEntry, Outcome};

/// Entries that may wait for those before them to be durable.
const WAITING_MAX: usize = 1_024;

/// One batch of entries is under way at a time, so they lie in the log in their order. What comes meanwhile is the next one, so that
/// its caller waits for no sync. For a thread that is none of the runtime's.
#[derive(Debug)]
pub struct Appender {
    log: Log,
    runtime: Handle,
    waiting: Vec<NewEntry>,
    /// Not known to be durable yet.
    under_way: Option<Arc<[NewEntry]>>,
    attempt: Option<JoinHandle<Result<Vec<Outcome>, LogError>>>,
}

impl Appender {
    /// One with nothing under way.
    pub fn new(log: Log, runtime: Handle) -> Self {
        Self { log, runtime, waiting: Vec::new(), under_way: None, attempt: None }
    }

    /// Takes these, and begins to append what waits where all before is durable. To be called again soon, with none if there are none,
    /// and so after an error: what was taken stays.
    pub fn append(&mut self, entries: Vec<NewEntry>) -> Result<(), LogError> {
        self.waiting.extend(entries);
        if self.waiting.len() > WAITING_MAX || self.attempt.as_ref().is_none_or(JoinHandle::is_finished) {
            self.begin()?;
        }
        Ok(())
    }

    /// Waits until all that was taken is durable. After an error it may be called again, and tries again.
    pub fn land(&mut self) -> Result<(), LogError> {
        self.begin()?;
        self.end()
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.end()?;
        if !self.waiting.is_empty() {
            let entries: Arc<[NewEntry]> = std::mem::take(&mut self.waiting).into();
            self.under_way = Some(Arc::clone(&entries));
            let log = self.log.clone();
            self.attempt = Some(self.runtime.spawn(async move { log.append_when_room(entries).await }));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LogError> {
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
