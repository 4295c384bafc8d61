-- One row an alert: a verdict that made the revoker act or watch.
--
-- Order key. Analysts read the newest alerts of the whole fleet, so time comes first; the id, derived from the
-- verdict's, makes the key unique and stable. Alerts are few: a month is a partition and they stay for 400 days, so
-- that a year can be compared with the one before. Codecs, durability: as in verdicts.
CREATE TABLE IF NOT EXISTS alerts
(
    alert_id String CODEC(ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    agent_id String CODEC(ZSTD(1)),
    issuer LowCardinality(Nullable(String)),
    event_id String CODEC(ZSTD(1)),
    score_microbits Int64 CODEC(ZSTD(1)),
    action LowCardinality(String),
    reasons Array(String) CODEC(ZSTD(1)),
    approval_id Nullable(String) CODEC(ZSTD(1)),
    policy LowCardinality(String),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toStartOfMonth(stored_at)
ORDER BY (ts, alert_id)
TTL toDateTime(stored_at) + INTERVAL 400 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS alerts_once AS SELECT *, score_microbits / 1e6 AS score FROM alerts FINAL;
