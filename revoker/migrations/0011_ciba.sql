-- What an identity provider is asked for (CIBA): one request a question. Kept a week after its end.
CREATE TABLE pushes (
    approval_id  TEXT PRIMARY KEY,
    -- Who is to say it, as enrolled, and how the provider knows them.
    approver     TEXT NOT NULL,
    login_hint   TEXT NOT NULL,
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
    outcome      TEXT
);
CREATE INDEX pushes_due ON pushes (next_at);
CREATE INDEX pushes_end ON pushes (expires_at);

-- Questions that an identity provider had us ask, which waits to be told the answer with the bearer token that it sent along, sealed.
CREATE TABLE channels (
    approval_id  TEXT PRIMARY KEY,
    bearer       BLOB NOT NULL,
    -- When what came of it went to the outbox.
    told_at      INTEGER
);
CREATE INDEX channels_open ON channels (approval_id) WHERE told_at IS NULL;
