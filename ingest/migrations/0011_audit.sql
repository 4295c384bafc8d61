-- The revoker's audit, mirrored: one row an entry. The record itself is the original, sealed and signed; this is for search.
--
-- Order key. Stories and spans of time are read, and both are near each other in `seq`. An entry has one number and one seal; the
-- same number with another seal means that the record was put back to an older copy, and both rows stay to show it.
-- body. JSON in the bytes that were sealed, so that the tree of the audit can be made from this table too.
-- agent_id. Empty where the entry is about no one agent.
-- Partitions, codecs, durability: as in alerts.
CREATE TABLE IF NOT EXISTS audit
(
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    txn String CODEC(ZSTD(1)),
    agent_id String CODEC(ZSTD(1)),
    issuer LowCardinality(Nullable(String)),
    kind LowCardinality(String),
    body String CODEC(ZSTD(1)),
    hash String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toStartOfMonth(stored_at)
ORDER BY (seq, hash)
TTL toDateTime(stored_at) + INTERVAL 400 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS audit_once AS SELECT * FROM audit FINAL;
