-- A question may be pushed to several people, each once.
CREATE TABLE pushes_to (
    approval_id  TEXT NOT NULL,
    -- Who is to say it, as enrolled, and how the provider knows them.
    approver     TEXT NOT NULL,
    login_hint   TEXT NOT NULL,
    -- The level of evidence when they were asked, micro-bits: a yes covers that.
    seen         INTEGER NOT NULL DEFAULT 0,
    asked_at     INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    -- The provider's name for it, once it has taken it: good with our client's credentials alone.
    auth_req_id  TEXT UNIQUE,
    -- Digest of the bearer token that its ping comes with.
    ping_digest  BLOB,
    -- Seconds between two questions to the provider.
    interval_s   INTEGER NOT NULL,
    -- When it is asked next; none once that is over, and what came of it.
    next_at      INTEGER,
    outcome      TEXT,
    PRIMARY KEY (approval_id, approver)
);
INSERT INTO pushes_to
    (approval_id, approver, login_hint, asked_at, expires_at, auth_req_id, ping_digest, interval_s, next_at, outcome)
    SELECT approval_id, approver, login_hint, asked_at, expires_at, auth_req_id, ping_digest, interval_s, next_at, outcome
    FROM pushes;
DROP TABLE pushes;
ALTER TABLE pushes_to RENAME TO pushes;
CREATE INDEX pushes_due ON pushes (next_at);
CREATE INDEX pushes_end ON pushes (expires_at);
