-- Twin of migrations/sqlite/0001: same tables, same columns, same names. Times are Unix milliseconds, ids are text.
-- COLLATE "C" where order or look-up by bytes matters: the two engines then agree whatever the server's locale.

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- One row. Every transaction that changes what a key's record says advances seq and holds the row to its commit, so
-- numbers come out in commit order. The epoch changes when the database is put back to an earlier state.
CREATE TABLE changes (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    epoch TEXT NOT NULL
);

INSERT INTO changes (id, seq, epoch) VALUES (1, 0, replace(gen_random_uuid()::text, '-', ''));

-- touched_at is written first by every transaction that must lock the team.
CREATE TABLE teams (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    slug TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
);

CREATE TABLE people (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    email_canonical TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE members (
    team_id TEXT COLLATE "C" NOT NULL REFERENCES teams (id),
    person_id TEXT COLLATE "C" NOT NULL REFERENCES people (id),
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'member')),
    joined_at BIGINT NOT NULL,
    PRIMARY KEY (team_id, person_id)
);

CREATE INDEX members_of_person ON members (person_id);
CREATE UNIQUE INDEX one_owner_per_team ON members (team_id) WHERE role = 'owner';

-- The token itself is nowhere. The slot is the second line behind the team's lock: an eleventh active key has none.
CREATE TABLE keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    team_id TEXT COLLATE "C" NOT NULL REFERENCES teams (id),
    token_hash BYTEA NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    prefix TEXT NOT NULL,
    name TEXT,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    scope TEXT NOT NULL CHECK (scope IN ('read_write', 'read_only')),
    slot BIGINT NOT NULL CHECK (slot BETWEEN 1 AND 10),
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" REFERENCES people (id),
    created_by_name TEXT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT COLLATE "C" REFERENCES people (id),
    revoked_by_name TEXT,
    seq BIGINT NOT NULL,
    CHECK ((revoked_at IS NULL) = (revoked_by_name IS NULL))
);

CREATE UNIQUE INDEX ten_active_keys_per_team ON keys (team_id, slot) WHERE revoked_at IS NULL;
CREATE INDEX keys_of_team ON keys (team_id, id);
CREATE INDEX keys_by_seq ON keys (seq);
CREATE INDEX keys_to_forget ON keys (revoked_at) WHERE revoked_at IS NOT NULL AND name IS NOT NULL;

-- Whatever a later statement says: a revoked key stays revoked, and only a key's name ever changes.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0];
END;
$$;

CREATE TRIGGER keys_stay_revoked BEFORE UPDATE ON keys FOR EACH ROW
WHEN (OLD.revoked_at IS NOT NULL
    AND (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
        OR NEW.revoked_by IS DISTINCT FROM OLD.revoked_by
        OR NEW.revoked_by_name IS DISTINCT FROM OLD.revoked_by_name))
EXECUTE FUNCTION refuse('a revoked key stays revoked');

CREATE TRIGGER keys_stay_themselves BEFORE UPDATE ON keys FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.token_hash IS DISTINCT FROM OLD.token_hash
    OR NEW.team_id IS DISTINCT FROM OLD.team_id
    OR NEW.mode IS DISTINCT FROM OLD.mode
    OR NEW.prefix IS DISTINCT FROM OLD.prefix
    OR NEW.scope IS DISTINCT FROM OLD.scope
    OR NEW.created_at IS DISTINCT FROM OLD.created_at
    OR NEW.created_by IS DISTINCT FROM OLD.created_by
    OR NEW.created_by_name IS DISTINCT FROM OLD.created_by_name)
EXECUTE FUNCTION refuse('a key keeps what it was made with');

CREATE TRIGGER keys_are_never_deleted BEFORE DELETE ON keys FOR EACH ROW
EXECUTE FUNCTION refuse('a key is never deleted');

CREATE TRIGGER keys_are_never_truncated BEFORE TRUNCATE ON keys FOR EACH STATEMENT
EXECUTE FUNCTION refuse('a key is never deleted');

-- Last used, in a table of its own: it is written in the background and must never touch the key's row.
CREATE TABLE key_usage (
    key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES keys (id),
    last_used_at BIGINT NOT NULL,
    last_used_from TEXT NOT NULL
);

CREATE TABLE audit (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    team_id TEXT COLLATE "C" NOT NULL REFERENCES teams (id),
    at BIGINT NOT NULL,
    by_person TEXT COLLATE "C" REFERENCES people (id),
    by_name TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    origin TEXT NOT NULL
);

CREATE INDEX audit_of_team ON audit (team_id, id);

CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit FOR EACH ROW
EXECUTE FUNCTION refuse('an audit event is never changed');

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit FOR EACH ROW
EXECUTE FUNCTION refuse('an audit event is never deleted');

CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON audit FOR EACH STATEMENT
EXECUTE FUNCTION refuse('an audit event is never deleted');

-- Amounts are in ten-thousandths. Ids are time-ordered, so the newest product has the greatest id.
CREATE TABLE products (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    team_id TEXT COLLATE "C" NOT NULL REFERENCES teams (id),
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('live', 'test')),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'archived')),
    name TEXT NOT NULL,
    unit_price BIGINT NOT NULL,
    currency TEXT NOT NULL,
    description TEXT,
    sku TEXT COLLATE "C",
    tax_rate BIGINT,
    kind TEXT NOT NULL,
    unit_of_measure TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX one_sku_per_team_and_mode ON products (team_id, mode, sku);
CREATE INDEX products_newest ON products (team_id, mode, id);
CREATE INDEX products_newest_by_status ON products (team_id, mode, status, id);
