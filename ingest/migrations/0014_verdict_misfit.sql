-- Which call of its session a verdict speaks of.
--
-- misfit, misfit_after. Where parts.pattern is 'unfitting', the call that does not go with its session's others, and the one that it
-- goes with least; '' in any other row, where a name is not known, and in rows from before. They are few among all rows: codecs
-- make nothing of what is empty.
ALTER TABLE verdicts
    ADD COLUMN IF NOT EXISTS misfit String CODEC(ZSTD(1)) AFTER line,
    ADD COLUMN IF NOT EXISTS misfit_after String CODEC(ZSTD(1)) AFTER misfit;

-- A view keeps the columns that `*` meant when it was made. It is replaced in one step, so no reader finds it missing.
CREATE OR REPLACE VIEW verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
