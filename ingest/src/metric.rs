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
/// Seconds that scoring stood still for a snapshot of the detector,
pub const SNAPSHOT_PAUSE: &str = "tocsin_score_snapshot_pause_seconds";
/// and those it took until that was written.
pub const SNAPSHOT_SECONDS: &str = "tocsin_score_snapshot_seconds";
/// Alarms of a peer `group`, faded, by `grade` (`watch`, `step_up`); how many the budget allows; how likely chance brings
/// as many; and 1 while it is exceeded.
pub const FLEET_ALARMS: &str = "tocsin_fleet_alarms";
/// See [`FLEET_ALARMS`].
pub const FLEET_EXPECTED: &str = "tocsin_fleet_alarms_expected";
/// See [`FLEET_ALARMS`].
pub const FLEET_P_VALUE: &str = "tocsin_fleet_alarms_p_value";
/// See [`FLEET_ALARMS`].
pub const FLEET_EXCEEDED: &str = "tocsin_fleet_budget_exceeded";
/// Days that agents of a peer `group` were known, faded.
pub const FLEET_AGENT_DAYS: &str = "tocsin_fleet_agent_days";
/// By how much tails of a peer `group` are read as wider, by `signal`; 1 is not at all.
pub const FLEET_WIDENING: &str = "tocsin_fleet_widening_ratio";
/// What many agents began to do at once and still do: incidents.
pub const COHORTS_OPEN: &str = "tocsin_cohort_incidents_open";
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
    describe_histogram!(
        SNAPSHOT_PAUSE,
        Unit::Seconds,
        "Scoring standing still for a snapshot of the detector"
    );
    describe_histogram!(SNAPSHOT_SECONDS, Unit::Seconds, "Writing a snapshot of the detector");
    describe_gauge!(FLEET_ALARMS, "Alarms of a peer group by grade, faded by half in 21 days");
    describe_gauge!(FLEET_EXPECTED, "Alarms that the budget allows it");
    describe_gauge!(FLEET_P_VALUE, "How likely chance brings as many");
    describe_gauge!(FLEET_EXCEEDED, "1 while it is exceeded");
    describe_gauge!(FLEET_AGENT_DAYS, "Days that agents were known, faded alike");
    describe_gauge!(FLEET_WIDENING, "By how much tails are read as wider, by signal");
    describe_gauge!(COHORTS_OPEN, "Cohort incidents that go on: what many agents began to do at once");
    describe_gauge!(KAFKA_LAG, "Records that a consumer group has before it, by partition");
    describe_counter!(FINDINGS, "Findings by kind, told or held back");
}
