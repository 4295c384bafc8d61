//! The record: what is decided is whole, once, and outlives the process.

mod again;
mod cascade;
mod fleetwide;
mod governor;
mod lives;
mod manifests;
mod names;
mod operators;
mod parts;
mod push;
mod races;
mod record;
mod restraint;
mod shared;
mod together;
mod trouble;
mod two;
mod voided;

use std::path::Path;

use detector::{Timestamp, VerdictRecord};

use super::{Admission, Decision, Revoker};
use crate::agent::AgentKey;
use crate::testing::{open, raw};

fn agent(name: &str) -> AgentKey {
    AgentKey::new(Some("https://idp.example"), name)
}

fn standing(revoker: &Revoker, name: &str) -> &'static str {
    revoker.standing(Some("https://idp.example"), name).name()
}

fn handle(revoker: &Revoker, record: &VerdictRecord) -> Decision {
    revoker.handle(record, record.verdict.ts).unwrap()
}

fn count(folder: &Path, table: &str) -> i64 {
    let db = raw(folder);
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// Everything that is written where something happens.
fn counts(folder: &Path) -> Vec<i64> {
    ["agents", "events", "deliveries", "alerts", "approvals", "handled", "audit"]
        .map(|table| count(folder, table))
        .to_vec()
}

/// Types of the events so far, in order, with the standing each names.
fn events(folder: &Path) -> Vec<String> {
    let db = raw(folder);
    let mut statement = db.prepare_cached("SELECT kind FROM events ORDER BY seq").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn is_challenged(decision: &Decision) -> bool {
    matches!(decision.admission, Admission::Challenged { .. })
}

fn reopened(folder: &Path, revoker: Revoker) -> Revoker {
    drop(revoker);
    open(folder)
}

fn later(record: &VerdictRecord, seconds: i64) -> Timestamp {
    Timestamp::from_micros(record.verdict.ts.as_micros() + seconds * 1_000_000)
}

impl Revoker {
    /// Makes every write fail, as a disk does that was remounted read-only; or lets them succeed again.
    pub(crate) fn refuse_writes(&self, refuse: bool) {
        let db = self.inner.store.writer();
        if db.is_shared() {
            db.execute_batch(&format!("SET default_transaction_read_only = {refuse}")).unwrap();
        } else {
            db.sqlite().pragma_update(None, "query_only", refuse).unwrap();
        }
    }
}
