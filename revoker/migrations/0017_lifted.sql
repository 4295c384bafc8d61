-- When an agent or a part of it was given its access back. How long the entry stays after that is set, and was 30 days.
ALTER TABLE revocations ADD COLUMN lifted INTEGER;
UPDATE revocations SET lifted = until - 2592000000000 WHERE until IS NOT NULL;
