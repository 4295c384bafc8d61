-- What the record on PostgreSQL has beside the tables that SQLite has too. Run again whenever migrations are.

-- As SQLite's, for a plain path ('$.a.b').
CREATE OR REPLACE FUNCTION json_extract(document TEXT, path TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE
    AS $$ SELECT document::json #>> string_to_array(substr(path, 3), '.') $$;

CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS TRIGGER LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
CREATE OR REPLACE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();

-- Names of approvers are the same in any case of letters.
CREATE UNIQUE INDEX IF NOT EXISTS approvers_name ON approvers (lower(name));

-- What each commit changed of what processes hold in memory, so that the others read just that again. Writers take turns,
-- so `seq` is the order of commits.
CREATE TABLE IF NOT EXISTS changes (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- An agent's standing, parts that ended, the pauses, what was done automatically, or that a verdict was handled.
    what        TEXT COLLATE "C" NOT NULL,
    issuer      TEXT COLLATE "C",
    agent_id    TEXT COLLATE "C",
    verdict     BYTEA
);
