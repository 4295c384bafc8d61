//! Brings the tables to the shape this program knows, one numbered file at a time.
//!
//! A migration is a file of statements that may each be run twice (`IF NOT EXISTS`, or a view that is replaced by the same
//! again): one that was cut off halfway is run again from its start. Once applied it is never changed; its checksum is kept to see to that.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::DatabaseName;
use super::error::StoreError;

/// A migration: its number, its name and its statements.
struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        [$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/", $name, ".sql")),
        }),*]
    };
}

const MIGRATIONS: [Migration; 14] = migrations![
    1 "0001_calls",
    2 "0002_verdicts",
    3 "0003_alerts",
    4 "0004_rejects",
    5 "0005_calls_per_minute",
    6 "0006_verdict_parts",
    7 "0007_verdict_rule",
    8 "0008_operation_and_route",
    9 "0009_verdict_cohort",
    10 "0010_verdict_layers",
    11 "0011_audit",
    12 "0012_verdict_line",
    13 "0013_call_key",
    14 "0014_verdict_misfit",
];

/// Where it is written down what was applied. Two processes that migrate at once write the same rows.
const JOURNAL: &str = "CREATE TABLE IF NOT EXISTS migrations
(version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = ReplacingMergeTree ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

#[derive(Debug, Row, Serialize, Deserialize)]
struct Applied {
    version: u32,
    name: String,
    checksum: String,
}

impl Migration {
    fn checksum(&self) -> String {
        hex(&Sha256::digest(self.sql))
    }

    /// The statements without their comments.
    fn statements(&self) -> Vec<String> {
        let code: Vec<_> = self.sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let code = code.join("\n");
        code.split(';').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
    }
}

/// Makes the database if it is missing and applies what it lacks.
pub(super) async fn migrate(
    server: &Client,
    client: &Client,
    database: &DatabaseName,
) -> Result<(), StoreError> {
    run(server, "make the database", &format!("CREATE DATABASE IF NOT EXISTS `{database}`")).await?;
    run(client, "make the table of migrations", JOURNAL).await?;
    let what = "read the table of migrations";
    let applied =
        client.query("SELECT ?fields FROM migrations FINAL ORDER BY version").fetch_all::<Applied>();
    let applied = applied.await.map_err(|e| StoreError::new(what, e))?;
    check(&applied, database)?;
    for migration in MIGRATIONS.iter().filter(|m| applied.iter().all(|a| a.version != m.version)) {
        apply(client, migration).await?;
        tracing::info!(migration = migration.name, %database, "applied");
    }
    Ok(())
}

/// Whether what was applied is what this program knows.
fn check(applied: &[Applied], database: &DatabaseName) -> Result<(), StoreError> {
    for row in applied {
        let known = MIGRATIONS.iter().find(|m| m.version == row.version);
        let (database, version) = (database.to_string(), row.version);
        match known {
            None => return Err(StoreError::Newer { database, version }),
            Some(known) if known.checksum() != row.checksum => {
                return Err(StoreError::Changed { database, version, applied: row.name.clone() });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn apply(client: &Client, migration: &Migration) -> Result<(), StoreError> {
    let what = format!("migration {}", migration.name);
    for statement in migration.statements() {
        run(client, &what, &statement).await?;
    }
    let row = Applied {
        version: migration.version,
        name: migration.name.to_owned(),
        checksum: migration.checksum(),
    };
    let written = async {
        let mut insert = client.insert::<Applied>("migrations").await?;
        insert.write(&row).await?;
        insert.end().await
    };
    written.await.map_err(|e| StoreError::new(what, e))
}

/// Digits of a digest.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(hex_digit).map(char::from).collect()
}

/// `0` to `f`.
pub(super) fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Runs a statement that answers nothing.
pub(super) async fn run(client: &Client, what: &str, sql: &str) -> Result<(), StoreError> {
    // A question mark would ask for a bound value.
    let sql = sql.replace('?', "??");
    client.query(&sql).execute().await.map_err(|e| StoreError::new(what, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_in_order_and_can_be_run_twice() {
        for (n, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, n + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", n + 1)), "{}", migration.name);
            assert!(!migration.statements().is_empty(), "{}", migration.name);
            for statement in migration.statements() {
                assert!(can_be_run_twice(&statement), "{}: {statement}", migration.name);
            }
        }
    }

    /// The second run changes nothing: what exists is left, a column that is there is not added, and a view holds no rows
    /// that replacing it by the same could lose. (A table that is replaced would be emptied.)
    fn can_be_run_twice(statement: &str) -> bool {
        let made = statement.starts_with("CREATE ") && statement.contains(" IF NOT EXISTS ");
        let replaced = statement.starts_with("CREATE OR REPLACE VIEW ");
        let clauses = statement.strip_prefix("ALTER TABLE ").map(|rest| rest.split(",\n    ADD "));
        let added = clauses.is_some_and(|mut all| {
            all.next().is_some_and(|first| first.contains("\n    ADD COLUMN IF NOT EXISTS "))
                && all.all(|clause| clause.starts_with("COLUMN IF NOT EXISTS "))
        });
        made || replaced || added
    }

    #[test]
    fn what_was_applied_must_be_what_is_known() {
        let database = DatabaseName::try_from("d".to_owned()).unwrap();
        let applied = |version, checksum: String| {
            check(&[Applied { version, name: "0001_old".to_owned(), checksum }], &database)
        };
        assert!(applied(1, MIGRATIONS[0].checksum()).is_ok());
        insta::assert_snapshot!(applied(1, MIGRATIONS[1].checksum()).unwrap_err(), @"migration 1 was applied to d as 0001_old and is now another; restore it and add a new one");
        insta::assert_snapshot!(applied(1_000, String::new()).unwrap_err(), @"d is at migration 1000, which this version of tocsin does not know: run a newer one");
    }
}
