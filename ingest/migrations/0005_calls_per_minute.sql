-- Calls per agent, endpoint and minute of event time, kept up by every insert into calls.
--
-- A materialized view sees batches, not the table: a record in two batches passes twice, and a sum would count it
-- twice for ever. The state is therefore the set of 64-bit hashes of the event ids: merging sets counts each once,
-- across batches, partitions and retries. Hashes, not ids: 8 bytes a call instead of a string; two of a minute's
-- events fall on one hash once in 2^64, less often than a disk errs. Outcomes are the second half of a call that was
-- counted; heartbeats and ends of tasks are no calls.
--
-- Order key: what it is asked by. Partition by the week we received it, as in calls and for the same reason: a time
-- somebody forged must not make a hundred partitions. Retention: 400 days; it is small and answers "as last year?".
-- Minutes are cut on the number of microseconds, because toStartOfMinute knows the years 1970 to 2106 only.
-- Codecs: hashes are random, so the states get no stronger codec than the default.
CREATE TABLE IF NOT EXISTS calls_per_minute_states
(
    agent_id String CODEC(ZSTD(1)),
    endpoint LowCardinality(String),
    minute DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    received_week Date CODEC(ZSTD(1)),
    calls AggregateFunction(uniqExact, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY received_week
ORDER BY (agent_id, endpoint, minute)
TTL received_week + INTERVAL 400 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS calls_per_minute_fold TO calls_per_minute_states AS
SELECT
    agent_id,
    endpoint,
    fromUnixTimestamp64Micro(
        toUnixTimestamp64Micro(ts) - positiveModulo(toUnixTimestamp64Micro(ts), 60000000), 'UTC') AS minute,
    toMonday(received_at) AS received_week,
    uniqExactState(sipHash64(event_id)) AS calls
FROM calls
WHERE kind IN ('call', 'request')
GROUP BY agent_id, endpoint, minute, received_week;

CREATE VIEW IF NOT EXISTS calls_per_minute AS
SELECT agent_id, endpoint, minute, uniqExactMerge(calls) AS calls
FROM calls_per_minute_states
GROUP BY agent_id, endpoint, minute;
