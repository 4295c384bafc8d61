-- The level of evidence that who said yes first was shown, micro-bits: what is more than that takes another look. Of a yes from before
-- it is not known.
ALTER TABLE approvals ADD COLUMN first_seen INTEGER NOT NULL DEFAULT 0;
