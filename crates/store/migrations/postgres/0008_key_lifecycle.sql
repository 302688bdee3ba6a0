-- The same as migrations/sqlite/0008. Keys that rotate, expire and pause; nodes, and which of them dropped a revoked key.

-- A key has one token, and for a while after a rotation two: the current one, whose ends_at is NULL, and the former one.
-- Ended tokens stay, so that they are refused as what they were.
CREATE TABLE key_tokens (
    hash BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    number BIGINT NOT NULL CHECK (number > 0),
    prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Recorded for tokens that replaced another.
    first_used_at BIGINT,
    ends_at BIGINT,
    -- How long a former token is accepted after the first use of its successor.
    overlap_ms BIGINT
);

INSERT INTO key_tokens (hash, key_id, number, prefix, created_at)
SELECT token_hash, id, 1, prefix, created_at FROM keys;

CREATE UNIQUE INDEX tokens_of_key ON key_tokens (key_id, number);
CREATE UNIQUE INDEX one_current_token_per_key ON key_tokens (key_id) WHERE ends_at IS NULL;

CREATE TRIGGER key_tokens_stay_themselves BEFORE UPDATE ON key_tokens FOR EACH ROW
WHEN (NEW.hash IS DISTINCT FROM OLD.hash
    OR NEW.key_id IS DISTINCT FROM OLD.key_id
    OR NEW.number IS DISTINCT FROM OLD.number
    OR NEW.prefix IS DISTINCT FROM OLD.prefix
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse('a token keeps what it was made with');

CREATE TRIGGER key_tokens_end_for_good BEFORE UPDATE ON key_tokens FOR EACH ROW
WHEN (OLD.ends_at IS NOT NULL AND (NEW.ends_at IS NULL OR NEW.ends_at > OLD.ends_at))
EXECUTE FUNCTION refuse('the end of a former token is never put off');

CREATE TRIGGER key_tokens_are_never_deleted BEFORE DELETE ON key_tokens FOR EACH ROW
EXECUTE FUNCTION refuse('a token is never deleted');

CREATE TRIGGER key_tokens_are_never_truncated BEFORE TRUNCATE ON key_tokens FOR EACH STATEMENT
EXECUTE FUNCTION refuse('a token is never deleted');

DROP TRIGGER keys_stay_revoked ON keys;
DROP TRIGGER keys_stay_themselves ON keys;
DROP INDEX ten_active_keys_per_team;
DROP INDEX keys_to_forget;

ALTER TABLE keys DROP COLUMN token_hash;
ALTER TABLE keys DROP COLUMN prefix;
-- Refused from this time on.
ALTER TABLE keys ADD COLUMN expires_at BIGINT;
-- Networks in CIDR notation, separated by commas. NULL: any address.
ALTER TABLE keys ADD COLUMN allowed_networks TEXT;
ALTER TABLE keys ADD COLUMN paused_at BIGINT;
-- NULL: until the key is resumed.
ALTER TABLE keys ADD COLUMN paused_until BIGINT;
ALTER TABLE keys ADD COLUMN revoked_reason TEXT;
-- When the key was revoked or expired; it frees the slot. A background job records an expiry after it took effect.
ALTER TABLE keys ADD COLUMN ended_at BIGINT;
-- The key that was created in place of this one.
ALTER TABLE keys ADD COLUMN successor_id TEXT COLLATE "C" REFERENCES keys (id);
-- When no node could use the revoked key any more.
ALTER TABLE keys ADD COLUMN revocation_complete_at BIGINT;

UPDATE keys SET ended_at = revoked_at, revocation_complete_at = revoked_at WHERE revoked_at IS NOT NULL;

ALTER TABLE keys ADD CHECK (revoked_at IS NULL OR ended_at IS NOT NULL);
ALTER TABLE keys ADD CHECK (paused_at IS NOT NULL OR paused_until IS NULL);

CREATE UNIQUE INDEX ten_active_keys_per_team ON keys (team_id, slot) WHERE ended_at IS NULL;
CREATE INDEX keys_to_redact ON keys (ended_at) WHERE ended_at IS NOT NULL AND name IS NOT NULL;
CREATE INDEX keys_to_expire ON keys (expires_at) WHERE expires_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX keys_to_complete ON keys (seq) WHERE revoked_at IS NOT NULL AND revocation_complete_at IS NULL;

CREATE TRIGGER keys_stay_revoked BEFORE UPDATE ON keys FOR EACH ROW
WHEN (OLD.revoked_at IS NOT NULL
    AND (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
        OR NEW.revoked_by IS DISTINCT FROM OLD.revoked_by
        OR NEW.revoked_by_name IS DISTINCT FROM OLD.revoked_by_name
        OR NEW.revoked_reason IS DISTINCT FROM OLD.revoked_reason))
EXECUTE FUNCTION refuse('a revoked key stays revoked');

CREATE TRIGGER keys_stay_ended BEFORE UPDATE ON keys FOR EACH ROW
WHEN (OLD.ended_at IS NOT NULL
    AND (NEW.ended_at IS DISTINCT FROM OLD.ended_at
        OR NEW.expires_at IS DISTINCT FROM OLD.expires_at
        OR (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL)))
EXECUTE FUNCTION refuse('a key that has ended stays ended');

CREATE TRIGGER keys_stay_themselves BEFORE UPDATE ON keys FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.team_id IS DISTINCT FROM OLD.team_id
    OR NEW.mode IS DISTINCT FROM OLD.mode
    OR NEW.scope IS DISTINCT FROM OLD.scope
    OR NEW.created_at IS DISTINCT FROM OLD.created_at
    OR NEW.created_by IS DISTINCT FROM OLD.created_by
    OR NEW.created_by_name IS DISTINCT FROM OLD.created_by_name)
EXECUTE FUNCTION refuse('a key keeps what it was made with');

-- Last use by token, for keys that were rotated. key_usage has the last use of each key.
CREATE TABLE token_usage (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    number BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    last_used_from TEXT NOT NULL,
    PRIMARY KEY (key_id, number)
);

-- A team's longest lifetime of new keys, in days.
ALTER TABLE teams ADD COLUMN key_lifetime_days BIGINT CHECK (key_lifetime_days BETWEEN 1 AND 3650);

-- The serving processes: each registers before it caches keys, and writes down how far it has followed changes.seq.
CREATE TABLE nodes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    followed_seq BIGINT NOT NULL,
    followed_at BIGINT NOT NULL,
    stopped_at BIGINT
);

-- When a node dropped a revoked key, or could not use it any more because its lease was over.
CREATE TABLE receipts (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    node_id TEXT COLLATE "C" NOT NULL,
    node_name TEXT NOT NULL,
    at BIGINT NOT NULL,
    by_lease BIGINT NOT NULL CHECK (by_lease IN (0, 1)),
    PRIMARY KEY (key_id, node_id)
);
