-- One question to a human. `id` is the agent's name for it, `page` the human's address: two secrets, kept apart.
CREATE TABLE IF NOT EXISTS approvals (
    id               TEXT PRIMARY KEY,
    page             TEXT NOT NULL UNIQUE,
    case_id          TEXT NOT NULL UNIQUE,
    alert_id         TEXT NOT NULL,
    issuer           TEXT,
    agent_id         TEXT NOT NULL,
    event_id         TEXT NOT NULL,
    record           TEXT NOT NULL,
    action_digest    BLOB NOT NULL,
    binding_code     TEXT NOT NULL,
    policy           TEXT NOT NULL,
    opened_at        INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    state            TEXT NOT NULL DEFAULT 'pending'
                     CHECK (state IN ('pending', 'approve', 'deny', 'attack', 'expired', 'superseded')),
    settled_at       INTEGER,
    settled_by       TEXT,
    failures         INTEGER NOT NULL DEFAULT 0,
    locked_until     INTEGER,
    -- The grant itself is kept nowhere; it can be made again with the key file.
    grant_digest     BLOB UNIQUE,
    grant_expires_at INTEGER,
    resume_id        TEXT,
    resumed_at       INTEGER
) STRICT;

CREATE INDEX IF NOT EXISTS approvals_by_end ON approvals (expires_at);
CREATE INDEX IF NOT EXISTS approvals_by_event ON approvals (event_id);
CREATE INDEX IF NOT EXISTS approvals_by_agent ON approvals (agent_id, opened_at);

-- Events that are the resumed act of an approved question: their own evidence has been answered.
CREATE TABLE IF NOT EXISTS admissions (
    event_id    TEXT PRIMARY KEY,
    approval_id TEXT NOT NULL REFERENCES approvals (id),
    admitted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS admissions_by_approval ON admissions (approval_id);

-- Who may answer. `secret` is sealed with the key file; `last_step` is the newest time step whose code was taken.
CREATE TABLE IF NOT EXISTS approvers (
    name         TEXT PRIMARY KEY COLLATE NOCASE,
    also         TEXT NOT NULL,
    secret       BLOB NOT NULL,
    enrolled_at  INTEGER NOT NULL,
    enrolled_by  TEXT NOT NULL,
    disabled_at  INTEGER,
    last_step    INTEGER,
    failures     INTEGER NOT NULL DEFAULT 0,
    locked_until INTEGER
) STRICT, WITHOUT ROWID;
