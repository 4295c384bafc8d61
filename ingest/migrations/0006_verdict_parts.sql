-- What a part of a verdict says beside its share: enough to tell, of a call that was not flagged, what every signal
-- made of it.
--
-- level_microbits. The level as it would be if the signal were the only one. `microbits` is a share of the verdict's
-- level and zero for all signals but the winner, so it cannot say how near the others came.
-- pattern. What the signal sees. A word from a small set, so LowCardinality, as `signal`.
-- low, high. The band in which the expectation lies, in the unit of `expected`: evidence is measured against its edges.
-- since. When the deviation began. Where nothing deviates it is the call's own time, and while something does it is the
-- same from call to call: Delta makes both zeros.
--
-- They stand in `parts` and not in a table of their own, because they are read with the rest of the part or not at all.
-- Each is an array of the same length as the others of `parts`, also in rows from before, whose parts say what can
-- be said of them: no level of their own, no pattern told apart, a band of nothing, and the call itself as the beginning.
ALTER TABLE verdicts
    ADD COLUMN IF NOT EXISTS `parts.level_microbits` Array(Int64)
        CODEC(ZSTD(1)) AFTER `parts.added_microbits`,
    ADD COLUMN IF NOT EXISTS `parts.pattern` Array(LowCardinality(String))
        DEFAULT arrayMap(s -> 'as_usual', `parts.signal`) CODEC(ZSTD(1)) AFTER `parts.level_microbits`,
    ADD COLUMN IF NOT EXISTS `parts.low` Array(Float64)
        CODEC(ZSTD(1)) AFTER `parts.expected`,
    ADD COLUMN IF NOT EXISTS `parts.high` Array(Float64)
        CODEC(ZSTD(1)) AFTER `parts.low`,
    ADD COLUMN IF NOT EXISTS `parts.since` Array(DateTime64(6, 'UTC'))
        DEFAULT arrayMap(s -> ts, `parts.signal`) CODEC(Delta(8), ZSTD(1)) AFTER `parts.high`;

-- A view keeps the columns that `*` meant when it was made. It is replaced in one step, so no reader finds it missing.
CREATE OR REPLACE VIEW verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
