-- One row a record of the log, whatever its kind.
--
-- Order key. Readers ask for one agent over a stretch of time, so (agent_id, ts) come first and neighbours compress
-- well; event_id makes the key unique. All three are the record's own content, so a record that is written twice, in
-- whatever batches, has the same key: ReplacingMergeTree folds it, and calls_once shows it once before that happens.
--
-- Partition. A week of *our* clock. By `ts`, one forged batch with a hundred different months would be refused as a
-- whole ("too many partitions"), and old recordings would be deleted as they are loaded. A week keeps some 13 large
-- partitions at 90 days; retention drops whole parts, so a row lives at most a week past its day.
--
-- Codecs. Sorted times differ little: Delta, then ZSTD. Ids and digests are random text that LZ4 cannot shorten and
-- ZSTD can, by the entropy of their alphabet. Words from a small set are LowCardinality: two bytes a row, and the
-- dictionary does the rest. Digests are random bytes: NONE.
--
-- Durability. fsync_after_insert: a 200 means on disk, also when the machine loses power. The deduplication window
-- holds the tokens of the last 1,000 batches, hours of retries at one batch a second and partition.
CREATE TABLE IF NOT EXISTS calls
(
    event_id String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    ts DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    received_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    agent_id String CODEC(ZSTD(1)),
    issuer LowCardinality(Nullable(String)),
    instance_id Nullable(String) CODEC(ZSTD(1)),
    session_id Nullable(String) CODEC(ZSTD(1)),
    parent_agent_id Nullable(String) CODEC(ZSTD(1)),
    delegator Nullable(String) CODEC(ZSTD(1)),
    token_id Nullable(String) CODEC(ZSTD(1)),
    endpoint LowCardinality(String),
    method LowCardinality(Nullable(String)),
    call_id Nullable(String) CODEC(ZSTD(1)),
    source LowCardinality(Nullable(String)),
    token_iat Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    token_exp Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    credential_kind LowCardinality(String),
    resource Nullable(String) CODEC(ZSTD(1)),
    scope LowCardinality(Nullable(String)),
    user_agent LowCardinality(Nullable(String)),
    model LowCardinality(Nullable(String)),
    args_digest Nullable(String) CODEC(ZSTD(1)),
    args Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    status Nullable(UInt16) CODEC(ZSTD(1)),
    latency_ms Nullable(Float64) CODEC(ZSTD(1)),
    bytes_in Nullable(UInt64) CODEC(ZSTD(1)),
    bytes_out Nullable(UInt64) CODEC(ZSTD(1)),
    source_ip Nullable(IPv6) CODEC(ZSTD(1)),
    claimed_attestation LowCardinality(String),
    attestation LowCardinality(String),
    digest FixedString(16) CODEC(NONE),
    origin LowCardinality(String),
    position UInt64 CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(received_at)
ORDER BY (agent_id, ts, event_id)
TTL toDateTime(received_at) + INTERVAL 90 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS calls_once AS SELECT * FROM calls FINAL;
