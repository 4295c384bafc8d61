-- What persons declare of agents while the server runs: every version, the last one in force.
CREATE TABLE manifests (
    issuer   TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    -- Counted from 1 for each agent.
    version  INTEGER NOT NULL,
    -- The manifest, as JSON.
    body     TEXT NOT NULL,
    set_at   INTEGER NOT NULL,
    set_by   TEXT NOT NULL,
    PRIMARY KEY (issuer, agent_id, version)
);
