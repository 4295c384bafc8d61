-- One row a verdict. The same verdict is stored again after a crash, never another one under its id.
--
-- Order key. As in calls: an agent over a stretch of time. The id is derived from the event and the version, so the
-- key is the verdict's own content and an amended verdict stands beside the one it amends.
--
-- Scores are whole millionths of a bit: sums of parts stay exact in the database too. The columns of `parts` are
-- arrays of one length, a place for each signal.
--
-- Partition, retention and durability: as in calls, by the time we stored it, since a verdict carries no receipt.
-- Codecs: neighbours are one agent's verdicts, so scores repeat or differ little: Delta or ZSTD alone, by what the
-- values are. An id is 32 hex digits, 4 bits each, which ZSTD's entropy coder finds and LZ4 does not.
CREATE TABLE IF NOT EXISTS verdicts
(
    id FixedString(32) CODEC(ZSTD(1)),
    version UInt16 CODEC(ZSTD(1)),
    event_id String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    ts DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    agent_id String CODEC(ZSTD(1)),
    issuer LowCardinality(Nullable(String)),
    instance_id Nullable(String) CODEC(ZSTD(1)),
    session_id Nullable(String) CODEC(ZSTD(1)),
    endpoint LowCardinality(String),
    level_microbits Int64 CODEC(Delta(8), ZSTD(1)),
    added_microbits Int64 CODEC(ZSTD(1)),
    parts Nested
    (
        signal LowCardinality(String),
        microbits Int64,
        added_microbits Int64,
        observed Float64,
        expected Float64,
        window_ms UInt64,
        quiet_at Float64,
        history_n UInt32,
        history_prior UInt16,
        history_peers UInt16,
        history_own UInt16
    ) CODEC(ZSTD(1)),
    families UInt8 CODEC(ZSTD(1)),
    jump Float32 CODEC(ZSTD(1)),
    attestation LowCardinality(String),
    model UInt32 CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(stored_at)
ORDER BY (agent_id, ts, id)
TTL toDateTime(stored_at) + INTERVAL 90 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    non_replicated_deduplication_window = 1000;

-- The same in bits, for people.
CREATE VIEW IF NOT EXISTS verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
