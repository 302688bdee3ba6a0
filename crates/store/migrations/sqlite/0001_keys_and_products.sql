-- Twin of migrations/postgres/0001: same tables, same columns, same names. Times are Unix milliseconds, ids are text.

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One row. Every transaction that changes what a key's record says advances seq and holds the row to its commit, so
-- numbers come out in commit order. The epoch changes when the database is put back to an earlier state.
CREATE TABLE changes (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    epoch TEXT NOT NULL
) STRICT;

INSERT INTO changes (id, seq, epoch) VALUES (1, 0, lower(hex(randomblob(16))));

-- touched_at is written first by every transaction that must lock the team.
CREATE TABLE teams (
    id TEXT NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL
) STRICT;

CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    email_canonical TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
    team_id TEXT NOT NULL REFERENCES teams (id),
    person_id TEXT NOT NULL REFERENCES people (id),
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'member')),
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (team_id, person_id)
) STRICT;

CREATE INDEX members_of_person ON members (person_id);
CREATE UNIQUE INDEX one_owner_per_team ON members (team_id) WHERE role = 'owner';

-- The token itself is nowhere. The slot is the second line behind the team's lock: an eleventh active key has none.
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams (id),
    token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    prefix TEXT NOT NULL,
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
    CHECK ((revoked_at IS NULL) = (revoked_by_name IS NULL))
) STRICT;

CREATE UNIQUE INDEX ten_active_keys_per_team ON keys (team_id, slot) WHERE revoked_at IS NULL;
CREATE INDEX keys_of_team ON keys (team_id, id);
CREATE INDEX keys_by_seq ON keys (seq);
CREATE INDEX keys_to_forget ON keys (revoked_at) WHERE revoked_at IS NOT NULL AND name IS NOT NULL;

-- Whatever a later statement says: a revoked key stays revoked, and only a key's name ever changes.
CREATE TRIGGER keys_stay_revoked BEFORE UPDATE ON keys
WHEN OLD.revoked_at IS NOT NULL
    AND (NEW.revoked_at IS NOT OLD.revoked_at
        OR NEW.revoked_by IS NOT OLD.revoked_by
        OR NEW.revoked_by_name IS NOT OLD.revoked_by_name)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key stays revoked');
END;

CREATE TRIGGER keys_stay_themselves BEFORE UPDATE ON keys
WHEN NEW.id IS NOT OLD.id
    OR NEW.token_hash IS NOT OLD.token_hash
    OR NEW.team_id IS NOT OLD.team_id
    OR NEW.mode IS NOT OLD.mode
    OR NEW.prefix IS NOT OLD.prefix
    OR NEW.scope IS NOT OLD.scope
    OR NEW.created_at IS NOT OLD.created_at
    OR NEW.created_by IS NOT OLD.created_by
    OR NEW.created_by_name IS NOT OLD.created_by_name
BEGIN
    SELECT RAISE(ABORT, 'a key keeps what it was made with');
END;

-- INSERT OR REPLACE would delete without a word to a trigger on deletion.
CREATE TRIGGER keys_are_never_replaced BEFORE INSERT ON keys
WHEN EXISTS (SELECT 1 FROM keys WHERE id = NEW.id OR token_hash = NEW.token_hash)
BEGIN
    SELECT RAISE(ABORT, 'a key is never replaced');
END;

CREATE TRIGGER keys_are_never_deleted BEFORE DELETE ON keys
BEGIN
    SELECT RAISE(ABORT, 'a key is never deleted');
END;

-- Last used, in a table of its own: it is written in the background and must never touch the key's row.
CREATE TABLE key_usage (
    key_id TEXT NOT NULL PRIMARY KEY REFERENCES keys (id),
    last_used_at INTEGER NOT NULL,
    last_used_from TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams (id),
    at INTEGER NOT NULL,
    by_person TEXT REFERENCES people (id),
    by_name TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    origin TEXT NOT NULL
) STRICT;

CREATE INDEX audit_of_team ON audit (team_id, id);

CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'an audit event is never changed');
END;

CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'an audit event is never replaced');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'an audit event is never deleted');
END;

-- Amounts are in ten-thousandths. Ids are time-ordered, so the newest product has the greatest id.
CREATE TABLE products (
    id TEXT NOT NULL PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams (id),
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    status TEXT NOT NULL CHECK (status IN ('active', 'archived')),
    name TEXT NOT NULL,
    unit_price INTEGER NOT NULL,
    currency TEXT NOT NULL,
    description TEXT,
    sku TEXT,
    tax_rate INTEGER,
    kind TEXT NOT NULL,
    unit_of_measure TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX one_sku_per_team_and_mode ON products (team_id, mode, sku);
CREATE INDEX products_newest ON products (team_id, mode, id);
CREATE INDEX products_newest_by_status ON products (team_id, mode, status, id);
