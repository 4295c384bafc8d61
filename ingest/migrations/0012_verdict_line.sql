-- Of whose line a verdict speaks.
--
-- line. The name of the agent at the line's head, where parts.pattern is 'line_more_calls' or 'many_children'; '' in any other
-- row, and in those from before. Few agents head lines, so it costs next to nothing.
ALTER TABLE verdicts
    ADD COLUMN IF NOT EXISTS line LowCardinality(String) AFTER actor_because;

-- A view keeps the columns that `*` meant when it was made. It is replaced in one step, so no reader finds it missing.
CREATE OR REPLACE VIEW verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
