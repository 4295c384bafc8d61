-- The key that the call's token is bound to.
--
-- key_thumbprint. `jkt` or `x5t#S256` of the token's `cnf` (RFC 9449, RFC 8705); NULL where the log names none, and in rows from
-- before. A key outlives many tokens, so that it compresses well; who rotates keys by the hour has as many as tokens, so no dictionary.
ALTER TABLE calls
    ADD COLUMN IF NOT EXISTS key_thumbprint Nullable(String) CODEC(ZSTD(1)) AFTER token_id;

-- A view keeps the columns that `*` meant when it was made. It is replaced in one step, so no reader finds it missing.
CREATE OR REPLACE VIEW calls_once AS SELECT * FROM calls FINAL;
