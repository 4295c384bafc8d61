-- How far an agent's calls count in what the record holds of it: positions in the log of calls, JSON. It stays behind the standing, which
-- ends, so that calls that are read again count once.
CREATE TABLE reach (
    issuer      TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    marks       TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (issuer, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX reach_at ON reach (at);
