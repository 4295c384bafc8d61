-- Signed heads of the tree over the audit. `roots` are its full subtrees, 32 bytes each, from which the next head goes on.
CREATE TABLE audit_heads (
    size        INTEGER PRIMARY KEY,
    head        TEXT NOT NULL,
    roots       BLOB NOT NULL
);
