-- Passkeys of approvers. `approver` is the name in small letters; `id` the credential's, base64url.
CREATE TABLE passkeys (
    id          TEXT PRIMARY KEY,
    approver    TEXT NOT NULL,
    public_key  BLOB NOT NULL,
    counter     INTEGER NOT NULL,
    -- 1 where it may be copied to other devices of its holder.
    synced      INTEGER NOT NULL,
    label       TEXT NOT NULL,
    added_at    INTEGER NOT NULL,
    used_at     INTEGER
);
CREATE INDEX passkeys_approver ON passkeys (approver);

-- Challenges that are open: the digest of each, and of what it is for. Taken once.
CREATE TABLE ceremonies (
    challenge   BLOB PRIMARY KEY,
    bound       BLOB NOT NULL,
    expires_at  INTEGER NOT NULL
);
CREATE INDEX ceremonies_end ON ceremonies (expires_at);

-- Links by which people enrol: the digest of each. `secret` is the sealed secret of a one-time code, for whoever takes one.
CREATE TABLE enrolments (
    link        BLOB PRIMARY KEY,
    approver    TEXT NOT NULL,
    secret      BLOB NOT NULL,
    expires_at  INTEGER NOT NULL,
    totp_at     INTEGER,
    passkey_at  INTEGER
);

-- Codes for who lost the rest, as digests that need the key file to be made.
CREATE TABLE recovery_codes (
    approver    TEXT NOT NULL,
    code        BLOB NOT NULL,
    used_at     INTEGER,
    PRIMARY KEY (approver, code)
);

-- Notices of the last hour: to whom ('' for whoever may answer) and when.
CREATE TABLE notices (
    person      TEXT NOT NULL,
    at          INTEGER NOT NULL
);
CREATE INDEX notices_person ON notices (person, at);
