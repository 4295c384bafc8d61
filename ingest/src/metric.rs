//! The names of what is measured here, each in one place.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Records taken in, by `source` and `outcome` (`stored`, `duplicate`, `conflict`, `rejected`).
pub const LINES: &str = "tocsin_ingest_lines_total";
/// Fields outside the schema that were ignored.
pub const UNKNOWN_FIELDS: &str = "tocsin_ingest_unknown_fields_total";
/// Seconds from append to durable, by `log`.
pub const APPEND_SECONDS: &str = "tocsin_log_append_seconds";
/// Entries that a `reader` of a `log` has before it.
pub const LOG_LAG: &str = "tocsin_log_lag_entries";
/// Batches written by a `pipeline`, by `outcome` (`written`, `failed`).
pub const BATCHES: &str = "tocsin_pipeline_batches_total";
/// Rows written by a `pipeline`, by `table`.
pub const ROWS: &str = "tocsin_pipeline_rows_total";
/// Calls scored.
pub const SCORED: &str = "tocsin_score_verdicts_total";
/// Agents that the detector remembers, by `state` (`whole`, `dormant`).
pub const AGENTS: &str = "tocsin_score_agents";
/// Agents that had to go from memory at its limit, by `outcome` (`compacted`, `dropped`).
pub const EVICTED: &str = "tocsin_score_evicted_total";
/// Seconds of the clock since the watermark.
pub const WATERMARK_AGE: &str = "tocsin_score_watermark_age_seconds";
/// Seconds it took to write a snapshot of the detector.
pub const SNAPSHOT_SECONDS: &str = "tocsin_score_snapshot_seconds";
/// Records that a consumer `group` has before it, by `partition`.
pub const KAFKA_LAG: &str = "tocsin_kafka_lag_records";
/// Findings, by `kind`, told or not.
pub const FINDINGS: &str = "tocsin_findings_total";

/// Tells the recorder what each of them is. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(LINES, "Records taken in, by source and outcome");
    describe_counter!(UNKNOWN_FIELDS, "Fields outside the schema that were ignored");
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "From append to durable, by log");
    describe_gauge!(LOG_LAG, "Entries that a reader of a log has before it");
    describe_counter!(BATCHES, "Batches by pipeline and outcome");
    describe_counter!(ROWS, "Rows written, by pipeline and table");
    describe_counter!(SCORED, "Calls scored");
    describe_gauge!(AGENTS, "Agents remembered, whole or by their usual week alone");
    describe_counter!(EVICTED, "Agents that had to go from memory at its limit, by outcome");
    describe_gauge!(WATERMARK_AGE, Unit::Seconds, "The clock less the watermark");
    describe_histogram!(SNAPSHOT_SECONDS, Unit::Seconds, "Writing a snapshot of the detector");
    describe_gauge!(KAFKA_LAG, "Records that a consumer group has before it, by partition");
    describe_counter!(FINDINGS, "Findings by kind, told or held back");
}
