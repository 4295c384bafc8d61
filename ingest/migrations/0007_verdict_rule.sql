-- The rule that a verdict's call broke, for the few that broke one.
--
-- Rules stand outside the statistics, so they stand beside the level and its parts and not in them.
-- rule. Which; a word from a small set, so LowCardinality, and empty where none was broken, as in all rows from before.
-- rule_observed, rule_limit, rule_window_ms. Calls counted within the window, calls allowed, and the window: zeros without
-- a rule, which ZSTD makes nothing of.
-- rule_since. When the breach began, and the call's own time without one. It repeats from call to call: Delta makes both zeros.
ALTER TABLE verdicts
    ADD COLUMN IF NOT EXISTS rule LowCardinality(String) AFTER model,
    ADD COLUMN IF NOT EXISTS rule_observed UInt64 CODEC(ZSTD(1)) AFTER rule,
    ADD COLUMN IF NOT EXISTS rule_limit UInt64 CODEC(ZSTD(1)) AFTER rule_observed,
    ADD COLUMN IF NOT EXISTS rule_window_ms UInt64 CODEC(ZSTD(1)) AFTER rule_limit,
    ADD COLUMN IF NOT EXISTS rule_since DateTime64(6, 'UTC') DEFAULT ts CODEC(Delta(8), ZSTD(1)) AFTER rule_window_ms;

-- A view keeps the columns that `*` meant when it was made. It is replaced in one step, so no reader finds it missing.
CREATE OR REPLACE VIEW verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
