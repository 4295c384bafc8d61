//! ClickHouse: a server, or the engine in this process. One code path, the official client, for both.
//!
//! Writing is safe to repeat. A batch carries a token made of its rows, so the very same batch is stored once; and where
//! a crash cuts the stream into other batches, a row that was written twice is folded by its key and shown once by the
//! views `calls_once`, `verdicts_once`, `alerts_once`, `audit_once` and `rejects_once`, and counted once by `calls_per_minute`.
//! Success means on disk, in the table and in what is derived from it.

mod agents;
mod config;
mod error;
mod keep;
mod last;
mod migrate;
mod row;
mod tls;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::{Client, Row, RowWrite};
use tokio::time::timeout;

pub use self::agents::{AgentSeen, CallsOf, EndpointUse, Usage};
pub use self::config::{BatchLimits, DatabaseName, KeepConfig, StoreConfig, StoreConfigError};
pub use self::error::StoreError;
pub use self::row::{AlertRow, AuditRow, CallRow, Place, RejectRow, VerdictRow};

use self::config::Target;
use crate::engine::Engine;

/// How long the database may take to take a piece of a batch.
const SEND_MAX: Duration = Duration::from_secs(10);
/// How long it may take to store a batch it has got.
const STORE_MAX: Duration = Duration::from_mins(1);
/// How long it may take to answer a query; ours are small.
const QUERY_MAX: Duration = Duration::from_secs(65);
/// How long it may take to say that it is there.
const PING_MAX: Duration = Duration::from_secs(3);
/// The longest answer of [`Store::query_json`].
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What holds for every insert, whatever the server's own defaults.
const INSERT_SETTINGS: [(&str, &str); 4] = [
    // Answered when it is stored; otherwise a server answers for what is in its memory.
    ("async_insert", "0"),
    // The same batch is known again, in the tables and in what derives from them.
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // Rows of one key are folded by merges and by the views, not within each batch on its way in: that is row by row,
    // and was half of an insert's cost (1.5 against 0.7 CPU seconds for 200,000 calls).
    ("optimize_on_insert", "0"),
];

/// A database whose tables are as this program knows them. Clones share one client, and one engine.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    engine: Arc<Mutex<Option<Engine>>>,
}

impl Store {
    /// Starts the embedded engine or reaches the server, and brings the tables up to date.
    ///
    /// `data_dir` is where the engine's folder lies unless the configuration names another. A server that is down is
    /// [`StoreError::Unavailable`]: try again later.
    pub async fn open(config: &StoreConfig, data_dir: &Path) -> Result<Self, StoreError> {
        let (server, engine) = match config.target(data_dir)? {
            Target::Embedded(engine) => {
                let engine = Engine::start(engine).await?;
                let client = Client::default().with_url(engine.url()).with_user(engine.user());
                (client.with_password(engine.password()), Some(engine))
            }
            Target::Served { url, authorities, user, password } => {
                let client = authorities.as_deref().map_or_else(|| Ok(Client::default()), tls::client)?;
                let client = client.with_url(url).with_user(user);
                (password.into_iter().fold(client, Client::with_password), None)
            }
        };
        let server = server.with_product_info("tocsin", env!("CARGO_PKG_VERSION"));
        let client = server.clone().with_database(config.database.as_str());
        let store = Self { client, engine: Arc::new(Mutex::new(engine)) };
        if let Err(error) = store.prepare(&server, config).await {
            store.shutdown().await;
            return Err(error);
        }
        Ok(store)
    }

    async fn prepare(&self, server: &Client, config: &StoreConfig) -> Result<(), StoreError> {
        let prepared = async {
            migrate::migrate(server, &self.client, &config.database).await?;
            keep::keep(&self.client, config.keep).await
        };
        within(QUERY_MAX, "bring the tables up to date", prepared).await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        within(PING_MAX, "ping", migrate::run(&self.client, "ping", "SELECT 1 FORMAT Null")).await
    }

    /// Stores records. All of them or, on an error, perhaps some: the same batch again makes it whole.
    pub async fn insert_calls(&self, rows: &[CallRow<'_>]) -> Result<(), StoreError> {
        self.insert::<CallRow<'_>>("calls", rows, row::token(rows, CallRow::identify)).await
    }

    /// Stores verdicts, as [`Self::insert_calls`] does records.
    pub async fn insert_verdicts(&self, rows: &[VerdictRow<'_>]) -> Result<(), StoreError> {
        self.insert::<VerdictRow<'_>>("verdicts", rows, row::token(rows, VerdictRow::identify)).await
    }

    /// Stores alerts, as [`Self::insert_calls`] does records.
    pub async fn insert_alerts(&self, rows: &[AlertRow<'_>]) -> Result<(), StoreError> {
        self.insert::<AlertRow<'_>>("alerts", rows, row::token(rows, AlertRow::identify)).await
    }

    /// Stores entries of the audit, as [`Self::insert_calls`] does records.
    pub async fn insert_audit(&self, rows: &[AuditRow<'_>]) -> Result<(), StoreError> {
        self.insert::<AuditRow<'_>>("audit", rows, row::token(rows, AuditRow::identify)).await
    }

    /// Stores rejects, as [`Self::insert_calls`] does records.
    pub async fn insert_rejects(&self, rows: &[RejectRow<'_>]) -> Result<(), StoreError> {
        self.insert::<RejectRow<'_>>("rejects", rows, row::token(rows, RejectRow::identify)).await
    }

    async fn insert<T>(
        &self,
        table: &'static str,
        rows: &[T::Value<'_>],
        token: String,
    ) -> Result<(), StoreError>
    where
        T: Row + RowWrite,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let what = || format!("store {} rows in {table}", rows.len());
        let begin = async { self.client.insert::<T>(table).await.map_err(|e| StoreError::new(what(), e)) };
        let mut insert = within(SEND_MAX, table, begin)
            .await?
            .with_setting("insert_deduplication_token", token)
            .with_timeouts(Some(SEND_MAX), Some(STORE_MAX));
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(name, value);
        }
        for row in rows {
            insert.write(row).await.map_err(|e| StoreError::new(what(), e))?;
        }
        insert.end().await.map_err(|e| StoreError::new(what(), e))
    }

    /// Runs a query and reads its rows as JSON objects, at most 16 MiB of them.
    ///
    /// 64-bit integers are numbers; times are texts, `2026-11-22 17:30:00.000000`, UTC.
    pub async fn query_json(&self, sql: &str) -> Result<Vec<serde_json::Value>, StoreError> {
        let what = || format!("query {sql:?}");
        let read = async {
            let query = self.client.query(&sql.replace('?', "??"));
            let query = query.with_setting("output_format_json_quote_64bit_integers", "0");
            let mut cursor = query.fetch_bytes("JSONEachRow").map_err(|e| StoreError::new(what(), e))?;
            let mut answer = Vec::new();
            while let Some(bytes) = cursor.next().await.map_err(|e| StoreError::new(what(), e))? {
                answer.extend_from_slice(&bytes);
                if answer.len() > ANSWER_BYTES_MAX {
                    return Err(StoreError::TooLong { what: what(), bytes_max: ANSWER_BYTES_MAX });
                }
            }
            Ok(answer)
        };
        let answer = within(QUERY_MAX, sql, read).await?;
        let rows = serde_json::Deserializer::from_slice(&answer).into_iter();
        rows.collect::<Result<_, _>>().map_err(|source| StoreError::Answer { what: what(), source })
    }

    /// Closes the embedded engine, if there is one, for all clones; what they attempt afterwards is unavailable.
    pub async fn shutdown(&self) {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(engine) = engine {
            engine.shutdown().await;
        }
    }
}

async fn within<T>(
    max: Duration,
    what: &str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(max, work).await.unwrap_or_else(|_| Err(StoreError::new(what, Error::TimedOut)))
}
