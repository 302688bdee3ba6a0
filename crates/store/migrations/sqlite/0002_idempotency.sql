-- Answers kept for 24 hours, so that a call that is sent again is not done again. Written in the transaction of what the
-- call did. A key's id stands for its team and mode as well.
CREATE TABLE idempotency (
    key_id TEXT NOT NULL REFERENCES keys (id),
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    value TEXT NOT NULL,
    body_hash BLOB NOT NULL CHECK (length(body_hash) = 32),
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    location TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, method, path, value)
) STRICT;

CREATE INDEX idempotency_by_age ON idempotency (created_at);
