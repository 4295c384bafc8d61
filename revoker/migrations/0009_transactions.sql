-- What an agent's side begins to have somebody confirm: an approval is asked for once a method is chosen.
CREATE TABLE transactions (
    tid          TEXT PRIMARY KEY,
    -- The credential that began it; nobody else is told anything of it.
    caller       TEXT NOT NULL,
    username     TEXT NOT NULL,
    email        TEXT NOT NULL,
    -- The question, as JSON.
    asked        TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    approval_id  TEXT,
    -- Of a prompted one: the address of its page, where it goes on, and what binds that to who began it.
    page         TEXT UNIQUE,
    prompt       TEXT,
    -- Of the token that the browser brought back; gone once it was exchanged.
    token_digest BLOB UNIQUE
);

CREATE INDEX transactions_by_end ON transactions (expires_at);
