-- One row a record that is no call, with its bytes and the reason.
--
-- Order key. What an operator asks: the rejects of one source. `origin` and `position` say where the record stands in
-- our input, and line tells apart the records of one message: together unique, and the same when it is read again.
-- Partition, durability: as in calls. Retention: 30 days, as the bytes are somebody's raw log.
-- Codecs: rejected lines of a source look alike; ZSTD at 3, since they are many bytes and written once.
CREATE TABLE IF NOT EXISTS rejects
(
    source LowCardinality(String),
    line UInt64 CODEC(ZSTD(1)),
    field LowCardinality(Nullable(String)),
    reason String CODEC(ZSTD(1)),
    bytes String CODEC(ZSTD(3)),
    len UInt64 CODEC(ZSTD(1)),
    received_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    origin LowCardinality(String),
    position UInt64 CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(received_at)
ORDER BY (source, origin, position, line)
TTL toDateTime(received_at) + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS rejects_once AS SELECT * FROM rejects FINAL;
