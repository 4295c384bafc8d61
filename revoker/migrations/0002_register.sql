-- What persons have put on record of an agent: that it is known and to whom, and that somebody looked at it. An agent of
-- which nobody has said anything has no row. `approvers` is a JSON list of names.
CREATE TABLE register (
    issuer            TEXT NOT NULL,
    agent_id          TEXT NOT NULL,
    owner             TEXT,
    sponsor           TEXT,
    approvers         TEXT NOT NULL DEFAULT '[]',
    registered_at     INTEGER,
    registered_by     TEXT,
    reviewed_at       INTEGER,
    reviewed_by       TEXT,
    -- Which edition of its manifest they looked at; none if it had none.
    reviewed_manifest TEXT,
    PRIMARY KEY (issuer, agent_id)
) WITHOUT ROWID;
