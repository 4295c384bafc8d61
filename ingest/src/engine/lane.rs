//! The threads that own the engine's connections, and the two lanes of work to them.
//!
//! A connection runs one statement at a time, so inserts and everything else have lanes of their own: a long query does
//! not keep calls from being stored, and a slow insert keeps nobody from reading.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use axum::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::EngineError;
use super::exception::{Exception, code};
use super::ffi::{Api, Connection};
use super::gateway::closing;
use super::statement::{Session, use_database};

/// Connections per lane: as many as there are cores on the smallest machine we care for.
const CONNECTIONS: usize = 2;
/// Statements that may wait in a lane; past it clients are told to come back.
const WAITING_MAX: usize = 64;

/// What every connection is opened with. `SELECT` is required where the engine alone would make it optional.
const OPTIONS: [&str; 1] = ["--implicit_select=0"];
/// What bounds a query: a minute, and an answer that fits in memory twice.
const QUERY_OPTIONS: [&str; 3] =
    ["--max_execution_time=60", "--max_result_bytes=67108864", "--result_overflow_mode=throw"];

/// A statement to run, and whom to tell.
#[derive(Debug)]
pub(super) enum Job {
    /// Anything but a streamed insert.
    Query {
        /// What it runs in.
        session: Session,
        /// The statement, with its data if it has any.
        sql: String,
        /// The answer's format, where the statement names none.
        format: String,
        /// Gets the answer.
        reply: oneshot::Sender<Result<Vec<u8>, Exception>>,
    },
    /// An insert whose data follows.
    Insert {
        /// What it runs in.
        session: Session,
        /// The statement without its format.
        sql: String,
        /// The data's format.
        format: String,
        /// The data; stored only if [`Chunk::End`] came.
        chunks: mpsc::Receiver<Chunk>,
        /// Told once it is stored.
        reply: oneshot::Sender<Result<(), Exception>>,
    },
    /// The thread ends.
    Stop,
}

/// Data of an insert on its way.
#[derive(Debug)]
pub(super) enum Chunk {
    /// Some bytes.
    Data(Bytes),
    /// All of it came. A channel that closes without this was cut off.
    End,
}

/// Both lanes; clones lead to the same threads.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    queries: SyncSender<Job>,
    inserts: SyncSender<Job>,
}

impl Lanes {
    /// Hands over a statement; refused at once if too many wait.
    pub(super) fn send(&self, job: Job) -> Result<(), Exception> {
        let lane = if matches!(job, Job::Insert { .. }) { &self.inserts } else { &self.queries };
        lane.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                let what = format_args!("{WAITING_MAX} statements wait already");
                Exception::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES", what)
            }
            TrySendError::Disconnected(_) => closing(),
        })
    }
}

/// The threads with their connections. Dropping this ends them once what waits is done, which closes the engine; it
/// blocks until then.
///
/// They must not outlive it: the library tears itself down at the process's exit, under whoever still uses it.
#[derive(Debug)]
pub(super) struct Workers {
    lanes: Lanes,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Opens all connections, each in its thread; the first one starts the engine.
    pub(super) fn open(api: &'static Api, path: &Path, settings: &Path) -> Result<Self, EngineError> {
        let common = OPTIONS.map(str::to_owned).into_iter();
        let common: Vec<_> = common.chain([format!("--config-file={}", settings.display())]).collect();
        let bounded = [common.clone(), QUERY_OPTIONS.map(str::to_owned).to_vec()].concat();
        let (queries, query_queue) = sync_channel(WAITING_MAX);
        let (inserts, insert_queue) = sync_channel(WAITING_MAX);
        let mut workers = Self { lanes: Lanes { queries, inserts }, threads: Vec::new() };
        for (name, queue, options) in [("query", query_queue, bounded), ("insert", insert_queue, common)] {
            let queue = Arc::new(Mutex::new(queue));
            for _ in 0..CONNECTIONS {
                let thread = start(format!("engine-{name}"), api, path, &options, Arc::clone(&queue));
                workers.threads.push(thread.ok_or_else(|| EngineError::Start { path: path.to_owned() })?);
            }
        }
        Ok(workers)
    }

    /// The ways to them.
    pub(super) fn lanes(&self) -> Lanes {
        self.lanes.clone()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for lane in [&self.lanes.queries, &self.lanes.inserts] {
            for _ in 0..CONNECTIONS {
                // Refused only where the threads are gone already.
                drop(lane.send(Job::Stop));
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the embedded ClickHouse engine panicked");
            }
        }
    }
}

/// Starts a thread that opens a connection and works; none if either cannot be had.
fn start(
    name: String,
    api: &'static Api,
    path: &Path,
    options: &[String],
    queue: Arc<Mutex<Receiver<Job>>>,
) -> Option<JoinHandle<()>> {
    let (ready, opened) = sync_channel(1);
    let (path, options) = (path.to_owned(), options.to_owned());
    let run = move || {
        let worker = Worker::open(api, &path, options);
        if ready.send(worker.is_some()).is_ok()
            && let Some(worker) = worker
        {
            worker.run(&queue);
        }
    };
    let thread = std::thread::Builder::new().name(name).spawn(run).ok()?;
    opened.recv().unwrap_or(false).then_some(thread)
}

/// A connection with the session it is in.
struct Worker<'a> {
    api: &'static Api,
    path: &'a Path,
    options: Vec<String>,
    connection: Connection,
    database: String,
}

impl<'a> Worker<'a> {
    fn open(api: &'static Api, path: &'a Path, options: Vec<String>) -> Option<Self> {
        let connection = Connection::open(api, path, &options)?;
        Some(Self { api, path, options, connection, database: String::new() })
    }

    fn run(mut self, queue: &Mutex<Receiver<Job>>) {
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            // A reply that nobody waits for any more is not an error.
            match job {
                Ok(Job::Query { session, sql, format, reply }) => {
                    drop(reply.send(self.within(&session, |c| c.query(&sql, &format))));
                }
                Ok(Job::Insert { session, sql, format, chunks, reply }) => {
                    drop(reply.send(self.within(&session, |c| insert(c, &sql, &format, chunks))));
                }
                Ok(Job::Stop) | Err(_) => return,
            }
        }
    }

    /// Enters the session, runs the statement, and leaves the connection as it was.
    fn within<T>(
        &mut self,
        session: &Session,
        statement: impl FnOnce(&mut Connection) -> Result<T, Exception>,
    ) -> Result<T, Exception> {
        let done = self.enter(session).and_then(|()| statement(&mut self.connection));
        if let Some(leave) = session.leave()
            && self.connection.query(&leave, "").is_err()
        {
            self.reopen();
        }
        done
    }

    fn enter(&mut self, session: &Session) -> Result<(), Exception> {
        let database = if session.database.is_empty() { "default" } else { &session.database };
        if self.database != database {
            self.connection.query(&use_database(database), "")?;
            database.clone_into(&mut self.database);
        }
        session.enter().map_or(Ok(()), |enter| self.connection.query(&enter, "").map(|_| ()))
    }

    /// A connection whose session is unknown is replaced by a fresh one.
    fn reopen(&mut self) {
        if let Some(fresh) = Connection::open(self.api, self.path, &self.options) {
            self.connection = fresh;
            self.database.clear();
        } else {
            tracing::error!("the embedded ClickHouse engine gives no new connection");
        }
    }
}

fn insert(
    connection: &mut Connection,
    sql: &str,
    format: &str,
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<(), Exception> {
    let mut insert = connection.insert(sql, format)?;
    loop {
        match chunks.blocking_recv() {
            Some(Chunk::Data(bytes)) => insert.append(&bytes)?,
            Some(Chunk::End) => return insert.finish(),
            None => {
                return Err(Exception::new(
                    code::ABORTED,
                    "ABORTED",
                    "the data was cut off, nothing is stored",
                ));
            }
        }
    }
}
