-- The revoker's system of record. Times are microseconds since 1970 UTC; an issuer that nobody named is ''.

-- Agents that are not plainly trusted; an agent that is has no row. `state` is the standing as JSON.
CREATE TABLE agents (
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    standing    TEXT NOT NULL,
    state       TEXT NOT NULL,
    txn         TEXT NOT NULL,
    -- When it changes by time alone.
    due         INTEGER,
    changed_at  INTEGER NOT NULL,
    -- The audit entry that made it so: increases with every change, so it orders and pages the list.
    changed_seq INTEGER NOT NULL,
    PRIMARY KEY (issuer, agent_id)
) WITHOUT ROWID;
CREATE INDEX agents_changed ON agents (changed_seq);
CREATE INDEX agents_due ON agents (due) WHERE due IS NOT NULL;
CREATE INDEX agents_standing ON agents (standing, changed_seq);

-- Revoked subjects. A row without `until` is in force; after a reinstatement it stays until older tokens have expired.
CREATE TABLE revocations (
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    not_before  INTEGER NOT NULL,
    until       INTEGER,
    txn         TEXT NOT NULL,
    PRIMARY KEY (issuer, agent_id)
) WITHOUT ROWID;

-- What enforcement points are told: the exact bytes, made in the transaction that decided it. AUTOINCREMENT, because
-- `seq` is the sequence that receivers order by: it never goes back, not even after the newest rows were removed.
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id    TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    txn         TEXT NOT NULL,
    at          INTEGER NOT NULL,
    body        BLOB NOT NULL
);

-- One event for one target, and how far it has come: pending, acknowledged, dead. Subject and event are repeated so that
-- the oldest pending delivery of each subject is found in the index alone.
CREATE TABLE deliveries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    event_seq       INTEGER NOT NULL REFERENCES events (seq),
    target          TEXT NOT NULL,
    issuer          TEXT NOT NULL,
    agent_id        TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'pending',
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_at         INTEGER NOT NULL,
    sent_at         INTEGER,
    settled_at      INTEGER,
    UNIQUE (event_seq, target)
);
CREATE INDEX deliveries_head ON deliveries (target, issuer, agent_id, event_seq) WHERE state = 'pending';
CREATE INDEX deliveries_due ON deliveries (target, next_at) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';

-- One attempt and what came of it.
CREATE TABLE receipts (
    seq         INTEGER PRIMARY KEY,
    delivery    INTEGER NOT NULL REFERENCES deliveries (id),
    attempt     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    status      INTEGER,
    detail      TEXT NOT NULL
);
CREATE INDEX receipts_delivery ON receipts (delivery);

-- Targets that said they are gone.
CREATE TABLE disabled_targets (
    target      TEXT PRIMARY KEY,
    at          INTEGER NOT NULL,
    reason      TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE alerts (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id    TEXT NOT NULL UNIQUE,
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    at          INTEGER NOT NULL,
    body        TEXT NOT NULL
);
CREATE INDEX alerts_at ON alerts (at);

-- Verdicts that changed something, with the answer that was given: said again, it is given again.
CREATE TABLE handled (
    verdict     BLOB PRIMARY KEY,
    at          INTEGER NOT NULL,
    decision    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX handled_at ON handled (at);

-- Append-only. `hash` covers the entry and the hash before it, under a key that is not in this file.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    txn         TEXT NOT NULL,
    issuer      TEXT,
    agent_id    TEXT,
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL,
    hash        BLOB NOT NULL
);
CREATE INDEX audit_agent ON audit (agent_id, issuer, seq);
CREATE INDEX audit_txn ON audit (txn, seq);
CREATE INDEX audit_at ON audit (at);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TABLE settings (
    name        TEXT PRIMARY KEY,
    value       TEXT NOT NULL
) WITHOUT ROWID;
