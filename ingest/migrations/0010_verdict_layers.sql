-- What each layer of trust said of a call, and whether the agent itself made it.
--
-- Words from small sets, so LowCardinality; rows from before are 'silent' and 'unclear'. Human oversight is no column:
-- the detector knows of no humans, and what they said stands in alerts and standings.
-- layer_identity, layer_context, layer_runtime, layer_behaviour. 'agrees', 'silent' or 'doubts'.
-- actor. 'legitimate', 'unclear' or 'impostor'.
-- actor_because. What about the caller spoke against its being the agent, patterns as in parts.pattern.
ALTER TABLE verdicts
    ADD COLUMN IF NOT EXISTS layer_identity LowCardinality(String) DEFAULT 'silent' AFTER cohort_is_beyond,
    ADD COLUMN IF NOT EXISTS layer_context LowCardinality(String) DEFAULT 'silent' AFTER layer_identity,
    ADD COLUMN IF NOT EXISTS layer_runtime LowCardinality(String) DEFAULT 'silent' AFTER layer_context,
    ADD COLUMN IF NOT EXISTS layer_behaviour LowCardinality(String) DEFAULT 'silent' AFTER layer_runtime,
    ADD COLUMN IF NOT EXISTS actor LowCardinality(String) DEFAULT 'unclear' AFTER layer_behaviour,
    ADD COLUMN IF NOT EXISTS actor_because Array(LowCardinality(String)) AFTER actor;

-- A view keeps the columns that `*` meant when it was made. It is replaced in one step, so no reader finds it missing.
CREATE OR REPLACE VIEW verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
