-- What a verdict shares with many of its agent's peers, for the few that share something.
--
-- It stands beside the level and its parts, as the rule does. A number repeats for as long as an incident lasts and is zero
-- without one, as in all rows from before: ZSTD makes nothing of either.
-- cohort. The incident's number, from 1.
-- cohort_pattern. What its agents have in common; a word from a small set, so LowCardinality.
-- cohort_since. When the first of them began, and the call's own time without an incident.
-- cohort_agents, cohort_exposed. How many did so far, of how many that were there.
-- cohort_factor. How many times the expected calls the typical one makes.
-- cohort_own_microbits, cohort_is_beyond. The level of what the agent does that the others do not, and whether it goes much
-- further than they do.
ALTER TABLE verdicts
    ADD COLUMN IF NOT EXISTS cohort UInt32 CODEC(ZSTD(1)) AFTER rule_since,
    ADD COLUMN IF NOT EXISTS cohort_pattern LowCardinality(String) AFTER cohort,
    ADD COLUMN IF NOT EXISTS cohort_since DateTime64(6, 'UTC') DEFAULT ts CODEC(Delta(8), ZSTD(1)) AFTER cohort_pattern,
    ADD COLUMN IF NOT EXISTS cohort_agents UInt32 CODEC(ZSTD(1)) AFTER cohort_since,
    ADD COLUMN IF NOT EXISTS cohort_exposed UInt32 CODEC(ZSTD(1)) AFTER cohort_agents,
    ADD COLUMN IF NOT EXISTS cohort_factor Float32 CODEC(ZSTD(1)) AFTER cohort_exposed,
    ADD COLUMN IF NOT EXISTS cohort_own_microbits Int64 CODEC(ZSTD(1)) AFTER cohort_factor,
    ADD COLUMN IF NOT EXISTS cohort_is_beyond Bool CODEC(ZSTD(1)) AFTER cohort_own_microbits;

-- A view keeps the columns that `*` meant when it was made. It is replaced in one step, so no reader finds it missing.
CREATE OR REPLACE VIEW verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
