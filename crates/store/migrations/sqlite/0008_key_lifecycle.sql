-- The same as migrations/postgres/0008. Keys that rotate, expire and pause; nodes, and which of them dropped a revoked key.

-- SQLite can't drop a UNIQUE column, so the table is built anew under its own name. Other tables
-- refer to its rows: their foreign keys are checked at the commit, when the rows are back.
PRAGMA defer_foreign_keys = ON;

CREATE TABLE old_keys AS SELECT * FROM keys;
DROP TABLE keys;

CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams (id),
    name TEXT,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    scope TEXT NOT NULL CHECK (scope IN ('read_write', 'read_only')),
    slot INTEGER NOT NULL CHECK (slot BETWEEN 1 AND 10),
    created_at INTEGER NOT NULL,
    created_by TEXT REFERENCES people (id),
    created_by_name TEXT NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT REFERENCES people (id),
    revoked_by_name TEXT,
    seq INTEGER NOT NULL,
    -- Refused from this time on.
    expires_at INTEGER,
    -- Networks in CIDR notation, separated by commas. NULL: any address.
    allowed_networks TEXT,
    paused_at INTEGER,
    -- NULL: until the key is resumed.
    paused_until INTEGER,
    revoked_reason TEXT,
    -- When the key was revoked or expired; it frees the slot. A background job records an expiry after it took effect.
    ended_at INTEGER,
    -- The key that was created in place of this one.
    successor_id TEXT REFERENCES keys (id),
    -- When no node could use the revoked key any more.
    revocation_complete_at INTEGER,
    CHECK ((revoked_at IS NULL) = (revoked_by_name IS NULL)),
    CHECK (revoked_at IS NULL OR ended_at IS NOT NULL),
    CHECK (paused_at IS NOT NULL OR paused_until IS NULL)
) STRICT;

INSERT INTO keys (id, team_id, name, mode, scope, slot, created_at, created_by, created_by_name, revoked_at, revoked_by,
                  revoked_by_name, seq, ended_at, revocation_complete_at)
SELECT id, team_id, name, mode, scope, slot, created_at, created_by, created_by_name, revoked_at, revoked_by,
       revoked_by_name, seq, revoked_at, revoked_at
FROM old_keys;

-- A key has one token, and for a while after a rotation two: the current one, whose ends_at is NULL, and the former one.
-- Ended tokens stay, so that they are refused as what they were.
CREATE TABLE key_tokens (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    key_id TEXT NOT NULL REFERENCES keys (id),
    number INTEGER NOT NULL CHECK (number > 0),
    prefix TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Recorded for tokens that replaced another.
    first_used_at INTEGER,
    ends_at INTEGER,
    -- How long a former token is accepted after the first use of its successor.
    overlap_ms INTEGER
) STRICT;

INSERT INTO key_tokens (hash, key_id, number, prefix, created_at)
SELECT token_hash, id, 1, prefix, created_at FROM old_keys;

DROP TABLE old_keys;

CREATE UNIQUE INDEX tokens_of_key ON key_tokens (key_id, number);
CREATE UNIQUE INDEX one_current_token_per_key ON key_tokens (key_id) WHERE ends_at IS NULL;

CREATE TRIGGER key_tokens_stay_themselves BEFORE UPDATE ON key_tokens
WHEN NEW.hash IS NOT OLD.hash
    OR NEW.key_id IS NOT OLD.key_id
    OR NEW.number IS NOT OLD.number
    OR NEW.prefix IS NOT OLD.prefix
    OR NEW.created_at IS NOT OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'a token keeps what it was made with');
END;

CREATE TRIGGER key_tokens_end_for_good BEFORE UPDATE ON key_tokens
WHEN OLD.ends_at IS NOT NULL AND (NEW.ends_at IS NULL OR NEW.ends_at > OLD.ends_at)
BEGIN
    SELECT RAISE(ABORT, 'the end of a former token is never put off');
END;

CREATE TRIGGER key_tokens_are_never_replaced BEFORE INSERT ON key_tokens
WHEN EXISTS (SELECT 1 FROM key_tokens WHERE hash = NEW.hash OR (key_id = NEW.key_id AND number = NEW.number))
BEGIN
    SELECT RAISE(ABORT, 'a token is never replaced');
END;

CREATE TRIGGER key_tokens_are_never_deleted BEFORE DELETE ON key_tokens
BEGIN
    SELECT RAISE(ABORT, 'a token is never deleted');
END;

CREATE UNIQUE INDEX ten_active_keys_per_team ON keys (team_id, slot) WHERE ended_at IS NULL;
CREATE INDEX keys_of_team ON keys (team_id, id);
CREATE INDEX keys_by_seq ON keys (seq);
CREATE INDEX keys_to_redact ON keys (ended_at) WHERE ended_at IS NOT NULL AND name IS NOT NULL;
CREATE INDEX keys_to_expire ON keys (expires_at) WHERE expires_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX keys_to_complete ON keys (seq) WHERE revoked_at IS NOT NULL AND revocation_complete_at IS NULL;

CREATE TRIGGER keys_stay_revoked BEFORE UPDATE ON keys
WHEN OLD.revoked_at IS NOT NULL
    AND (NEW.revoked_at IS NOT OLD.revoked_at
        OR NEW.revoked_by IS NOT OLD.revoked_by
        OR NEW.revoked_by_name IS NOT OLD.revoked_by_name
        OR NEW.revoked_reason IS NOT OLD.revoked_reason)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key stays revoked');
END;

CREATE TRIGGER keys_stay_ended BEFORE UPDATE ON keys
WHEN OLD.ended_at IS NOT NULL
    AND (NEW.ended_at IS NOT OLD.ended_at
        OR NEW.expires_at IS NOT OLD.expires_at
        OR (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL))
BEGIN
    SELECT RAISE(ABORT, 'a key that has ended stays ended');
END;

CREATE TRIGGER keys_stay_themselves BEFORE UPDATE ON keys
WHEN NEW.id IS NOT OLD.id
    OR NEW.team_id IS NOT OLD.team_id
    OR NEW.mode IS NOT OLD.mode
    OR NEW.scope IS NOT OLD.scope
    OR NEW.created_at IS NOT OLD.created_at
    OR NEW.created_by IS NOT OLD.created_by
    OR NEW.created_by_name IS NOT OLD.created_by_name
BEGIN
    SELECT RAISE(ABORT, 'a key keeps what it was made with');
END;

-- INSERT OR REPLACE would delete without a word to a trigger on deletion.
CREATE TRIGGER keys_are_never_replaced BEFORE INSERT ON keys
WHEN EXISTS (SELECT 1 FROM keys WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'a key is never replaced');
END;

CREATE TRIGGER keys_are_never_deleted BEFORE DELETE ON keys
BEGIN
    SELECT RAISE(ABORT, 'a key is never deleted');
END;

-- Last use by token, for keys that were rotated. key_usage has the last use of each key.
CREATE TABLE token_usage (
    key_id TEXT NOT NULL REFERENCES keys (id),
    number INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    last_used_from TEXT NOT NULL,
    PRIMARY KEY (key_id, number)
) STRICT;

-- A team's longest lifetime of new keys, in days.
ALTER TABLE teams ADD COLUMN key_lifetime_days INTEGER CHECK (key_lifetime_days BETWEEN 1 AND 3650);

-- The serving processes: each registers before it caches keys, and writes down how far it has followed changes.seq.
CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    followed_seq INTEGER NOT NULL,
    followed_at INTEGER NOT NULL,
    stopped_at INTEGER
) STRICT;

-- When a node dropped a revoked key, or could not use it any more because its lease was over.
CREATE TABLE receipts (
    key_id TEXT NOT NULL REFERENCES keys (id),
    node_id TEXT NOT NULL,
    node_name TEXT NOT NULL,
    at INTEGER NOT NULL,
    by_lease INTEGER NOT NULL CHECK (by_lease IN (0, 1)),
    PRIMARY KEY (key_id, node_id)
) STRICT;
