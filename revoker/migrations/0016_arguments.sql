-- What a human reads of the act's arguments, where a question on evidence comes with them: JSON.
ALTER TABLE approvals ADD COLUMN arguments TEXT;
