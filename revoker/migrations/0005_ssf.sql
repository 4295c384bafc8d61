-- Streams of Shared Signals, made by their receivers at run time. Each is a target of the outbox, named `target`.
CREATE TABLE ssf_streams (
    stream_id     TEXT PRIMARY KEY,
    receiver      TEXT NOT NULL,
    target        TEXT NOT NULL UNIQUE,
    -- `push` or `poll`.
    method        TEXT NOT NULL,
    -- `enabled`, `paused` or `disabled`, why, and whether an operator of ours said so.
    status        TEXT NOT NULL DEFAULT 'enabled',
    reason        TEXT,
    ours          INTEGER NOT NULL DEFAULT 0,
    -- JSON: what the receiver asked for, and the types of events that come of it.
    wanted        TEXT NOT NULL,
    kinds         TEXT NOT NULL,
    -- The `Authorization` header of pushes, sealed.
    authorization BLOB,
    verified_at   INTEGER,
    created_at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX ssf_streams_receiver ON ssf_streams (receiver);

-- Subjects that a receiver took out of a stream: canonical JSON.
CREATE TABLE ssf_removed (
    stream_id     TEXT NOT NULL,
    subject       TEXT NOT NULL,
    PRIMARY KEY (stream_id, subject)
) WITHOUT ROWID;

-- What a receiver said of single tokens of a delivery that has others still to answer for; `err` where it could not use one.
CREATE TABLE ssf_answers (
    jti           TEXT PRIMARY KEY,
    target        TEXT NOT NULL,
    err           TEXT
) WITHOUT ROWID;
CREATE INDEX ssf_answers_target ON ssf_answers (target);
