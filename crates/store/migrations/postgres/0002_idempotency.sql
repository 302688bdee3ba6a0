-- Answers kept for 24 hours, so that a call that is sent again is not done again. Written in the transaction of what the
-- call did. A key's id stands for its team and mode as well.
CREATE TABLE idempotency (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    method TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    body_hash BYTEA NOT NULL CHECK (length(body_hash) = 32),
    status BIGINT NOT NULL,
    body BYTEA NOT NULL,
    location TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, method, path, value)
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);
