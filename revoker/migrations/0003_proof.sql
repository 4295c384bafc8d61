-- A delivery is `standby` while its target waits for those before it in the escalation list to fail; `acknowledged` is what
-- a target says, `verified` what was seen to be so, `refuted` what was seen not to be. `withdrawn` was never sent.
-- When to look next, and how often was looked.
ALTER TABLE deliveries ADD COLUMN check_at INTEGER;
ALTER TABLE deliveries ADD COLUMN checks INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_check ON deliveries (target, check_at) WHERE check_at IS NOT NULL;
CREATE INDEX deliveries_standby ON deliveries (target, issuer, agent_id) WHERE state = 'standby';
-- The newest of a subject.
CREATE INDEX deliveries_subject ON deliveries (agent_id, issuer, event_seq);

-- Each change of the list of revoked subjects has a version.
ALTER TABLE revocations ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX revocations_version ON revocations (version);
UPDATE revocations SET version = 1;
INSERT INTO settings (name, value) SELECT 'revocations_version', '1' WHERE EXISTS (SELECT 1 FROM revocations);
