-- Access may end for a part of an agent alone: `part` is `token:`, `session:` or `instance:` and its name, and '' for the whole agent.
ALTER TABLE events ADD COLUMN part TEXT NOT NULL DEFAULT '';

ALTER TABLE revocations RENAME TO revocations_of_agents;
CREATE TABLE revocations (
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    part        TEXT NOT NULL,
    not_before  INTEGER NOT NULL,
    until       INTEGER,
    txn         TEXT NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (issuer, agent_id, part)
) WITHOUT ROWID;
INSERT INTO revocations (issuer, agent_id, part, not_before, until, txn, version)
    SELECT issuer, agent_id, '', not_before, until, txn, version FROM revocations_of_agents;
DROP TABLE revocations_of_agents;
CREATE INDEX revocations_version ON revocations (version);

-- Who said in attested calls that an agent of the same issuer spawned it.
CREATE TABLE kin (
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    parent      TEXT NOT NULL,
    seen_at     INTEGER NOT NULL,
    PRIMARY KEY (issuer, agent_id, parent)
) WITHOUT ROWID;
CREATE INDEX kin_parent ON kin (issuer, parent);
CREATE INDEX kin_seen ON kin (seen_at);

-- What ends or is offered once, and has been: an agent's life by its task or by time, a proposal about a cohort.
CREATE TABLE once (
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    what        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (issuer, agent_id, what)
) WITHOUT ROWID;
