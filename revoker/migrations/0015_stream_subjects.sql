-- Whether a stream gets those subjects alone that its receiver added, and when its receiver last gave a sign.
ALTER TABLE ssf_streams ADD COLUMN added_only INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ssf_streams ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0;
-- Subjects that a receiver took out of a stream, or added to one that gets no others: canonical JSON.
ALTER TABLE ssf_removed RENAME TO ssf_subjects;
