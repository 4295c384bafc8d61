//! One session: the thread that drives it, and what was prepared and claimed in it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Row, Statement};

use super::address::Address;
use super::dialect::statement;
use super::values::Given;
use crate::store::db::{Error, Result};

/// A server that says nothing for so long is taken for gone. Longer than its own limits on a statement.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// Statements kept prepared. The program has fewer; past it, those that are kept are prepared anew.
const PREPARED_MAX: usize = 512;

/// How long a statement may wait for a lock and how long it may take, and that what was committed is on a disk.
pub(super) const SETTINGS: &str = "SET lock_timeout = '10s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s';
     SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 15000;
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

pub(super) struct Session {
    client: Client,
    prepared: RefCell<HashMap<String, Statement>>,
    claimed: RefCell<HashSet<String>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn connect(address: &Arc<Address>) -> Result<Self> {
        let client = drive(Arc::clone(address)).recv().unwrap_or(Err(Error::Away))?;
        let session = Self { client, prepared: RefCell::default(), claimed: RefCell::default() };
        session.batch(SETTINGS)?;
        Ok(session)
    }

    pub(super) fn is_over(&self) -> bool {
        self.client.is_closed()
    }

    /// The statement, in PostgreSQL's words and prepared, as it was before if it was.
    pub(super) fn prepare(&self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.prepared.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let prepared = wait(self.client.prepare(&statement(sql)))?;
        let mut all = self.prepared.borrow_mut();
        if all.len() >= PREPARED_MAX {
            all.clear();
        }
        all.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }

    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        wait(self.client.batch_execute(sql))
    }

    pub(super) fn execute(&self, statement: &Statement, values: &[Given<'_>]) -> Result<u64> {
        wait(self.client.execute_raw(statement, values))
    }

    pub(super) fn query(&self, statement: &Statement, values: &[Given<'_>]) -> Result<Vec<Row>> {
        let values: Vec<_> = values.iter().map(|v| v as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
        wait(self.client.query(statement, &values))
    }

    pub(super) fn has_claimed(&self, name: &str) -> bool {
        self.claimed.borrow().contains(name)
    }

    pub(super) fn note_claim(&self, name: &str) {
        self.claimed.borrow_mut().insert(name.to_owned());
    }
}

/// Connects, on a thread that then drives the connection until its client is gone.
fn drive(address: Arc<Address>) -> Receiver<Result<Client>> {
    let (sender, receiver) = sync_channel(1);
    let run = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(e) => return drop(sender.send(Err(Error::value(e)))),
        };
        runtime.block_on(async move {
            match address.connect().await {
                Ok((client, driver)) => {
                    if sender.send(Ok(client)).is_ok()
                        && let Err(e) = driver.await
                    {
                        tracing::warn!(error = %Error::from(e), "a connection to the record's database ended");
                    }
                }
                Err(e) => drop(sender.send(Err(e))),
            }
        });
    };
    if let Err(e) = std::thread::Builder::new().name("record".to_owned()).spawn(run) {
        tracing::error!(error = %e, "no thread could be started for the record's database");
    }
    receiver
}

/// Waits for an answer on this thread, which need know nothing of runtimes.
fn wait<T>(answer: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>) -> Result<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    let until = Instant::now() + ANSWER_MAX;
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return Ok(answer?);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Away);
        }
        std::thread::park_timeout(left);
    }
}
