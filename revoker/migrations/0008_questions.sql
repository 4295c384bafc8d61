-- Why a human is asked: `evidence`, or `asked` by the agent's own side; `record` holds the one or the other.
ALTER TABLE approvals ADD COLUMN cause TEXT NOT NULL DEFAULT 'evidence';
-- What an answer takes.
ALTER TABLE approvals ADD COLUMN approvers_min INTEGER NOT NULL DEFAULT 1;
ALTER TABLE approvals ADD COLUMN factor_min TEXT NOT NULL DEFAULT 'totp';
-- Who answers for the agent, as JSON.
ALTER TABLE approvals ADD COLUMN people TEXT NOT NULL DEFAULT '{}';
-- Who said yes first, where it takes two.
ALTER TABLE approvals ADD COLUMN first_by TEXT;
ALTER TABLE approvals ADD COLUMN first_at INTEGER;
-- How whoever answered proved who they are.
ALTER TABLE approvals ADD COLUMN settled_with TEXT;
-- In which epoch of the record the grant was given. `grant_digest` is the digest of what the yes covers.
ALTER TABLE approvals ADD COLUMN grant_epoch INTEGER;
-- How many people in turn were told of it, and when the next is.
ALTER TABLE approvals ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN tell_at INTEGER;
CREATE INDEX approvals_tell ON approvals (tell_at) WHERE tell_at IS NOT NULL;
CREATE INDEX approvals_open ON approvals (expires_at) WHERE state = 'pending';
