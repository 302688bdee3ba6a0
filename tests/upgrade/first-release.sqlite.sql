-- A database of the first release (0.1.0, commit f183eed): its four migrations and sample rows. Written once by sqlite3's .dump.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
INSERT INTO "_sqlx_migrations" VALUES(1,'0001_keys_and_products','2026-11-24 14:11:34',1,X'66DE7F4DB52AA61E4386611F21D1DE8AE85EE20D150C7DB30FA6467565C604F15591D4EB65BC2B215E5E91F35779FA19',0);
INSERT INTO "_sqlx_migrations" VALUES(2,'0002_idempotency','2026-11-24 14:11:34',1,X'3CC05F9C15FC557D3A61D33CEE2D566906F5DE88BDAFA9CF255183FB7CFEADB99F92C7E3A3B71EDAA1D890ECCE791B47',0);
INSERT INTO "_sqlx_migrations" VALUES(3,'0003_people_sign_in','2026-11-24 14:11:34',1,X'D8B05322BDFAA1D481B47D29841BE04874146B871E2BBE2C2A0BF6D770567057F9FC84C18FA1CAAA3D4EAD52E1999EE3',0);
INSERT INTO "_sqlx_migrations" VALUES(4,'0004_duties','2026-11-24 14:11:34',1,X'1AB3F25D72078BBB3C128F3E39702DCB747F0AFB58F0E475342DFBAA8ED26BF3BD70C6DEBE8A2E57D6E267E04ADC53D3',0);
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
INSERT INTO "audit" VALUES('aud_01kaqty0g0000000000000000a','team_01kaqty0g0000000000000000a',1795512600000,NULL,'Command line (root)','team.created','team_01kaqty0g0000000000000000a','"Acme"','shell');
INSERT INTO "audit" VALUES('aud_01kaqty0g0000000000000000b','team_01kaqty0g0000000000000000a',1795512650000,'per_01kaqty0g0000000000000000b','Bob','key.revoked','key_01kaqty0g0000000000000000b','pk_test_012 "Old"','198.51.100.9');
CREATE TABLE changes (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    epoch TEXT NOT NULL
) STRICT;
INSERT INTO "changes" VALUES(1,3,'00000000000000000000000000000001');
CREATE TABLE duties (
    name TEXT NOT NULL PRIMARY KEY,
    begun_at INTEGER NOT NULL
) STRICT;
INSERT INTO "duties" VALUES('clear what has had its time',1795512600000);
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
INSERT INTO "idempotency" VALUES('key_01kaqty0g0000000000000000a','POST','/api/v1/products','one',X'1F77C6CE934ED6691C73F00FD8E0F777D938D15AA9B8797E0403586488D35716',201,X'C4E6536BFD50924F892C7DB3BDE40A4AA52309DE30E5D828F0116C1FF33D788C','/api/v1/products/x',1795512600000);
CREATE TABLE key_usage (
    key_id TEXT NOT NULL PRIMARY KEY REFERENCES keys (id),
    last_used_at INTEGER NOT NULL,
    last_used_from TEXT NOT NULL
) STRICT;
INSERT INTO "key_usage" VALUES('key_01kaqty0g0000000000000000a',1795512660000,'198.51.100.7');
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
INSERT INTO "keys" VALUES('key_01kaqty0g0000000000000000a','team_01kaqty0g0000000000000000a',X'1F77C6CE934ED6691C73F00FD8E0F777D938D15AA9B8797E0403586488D35716','pk_live_012','Backend','live','read_write',1,1795512600000,'per_01kaqty0g0000000000000000a','Ada',NULL,NULL,NULL,1);
INSERT INTO "keys" VALUES('key_01kaqty0g0000000000000000b','team_01kaqty0g0000000000000000a',X'C4E6536BFD50924F892C7DB3BDE40A4AA52309DE30E5D828F0116C1FF33D788C','pk_test_012','Old','test','read_only',2,1795512600000,NULL,'Command line (root)',1795512650000,'per_01kaqty0g0000000000000000b','Bob',3);
CREATE TABLE links (
    id TEXT NOT NULL PRIMARY KEY,
    code_hash BLOB NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    purpose TEXT NOT NULL CHECK (purpose IN ('set_up', 'invite', 'reset', 'sign_in')),
    person_id TEXT REFERENCES people (id),
    team_id TEXT REFERENCES teams (id),
    email TEXT,
    email_canonical TEXT,
    role TEXT CHECK (role IN ('admin', 'manager', 'member')),
    made_by TEXT REFERENCES people (id),
    made_by_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK ((purpose = 'invite') = (team_id IS NOT NULL AND email IS NOT NULL AND role IS NOT NULL)),
    CHECK ((purpose IN ('reset', 'sign_in')) = (person_id IS NOT NULL))
) STRICT;
INSERT INTO "links" VALUES('lnk_01kaqty0g0000000000000000a',X'1F77C6CE934ED6691C73F00FD8E0F777D938D15AA9B8797E0403586488D35716','invite',NULL,'team_01kaqty0g0000000000000000a','eve@example.com','eve@example.com','manager','per_01kaqty0g0000000000000000a','Ada',1795512600000,1796117400000);
INSERT INTO "links" VALUES('lnk_01kaqty0g0000000000000000b',X'C4E6536BFD50924F892C7DB3BDE40A4AA52309DE30E5D828F0116C1FF33D788C','reset','per_01kaqty0g0000000000000000b',NULL,NULL,NULL,NULL,NULL,'Command line (root)',1795512600000,1796117400000);
CREATE TABLE members (
    team_id TEXT NOT NULL REFERENCES teams (id),
    person_id TEXT NOT NULL REFERENCES people (id),
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'member')),
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (team_id, person_id)
) STRICT;
INSERT INTO "members" VALUES('team_01kaqty0g0000000000000000a','per_01kaqty0g0000000000000000a','owner',1795512600000);
INSERT INTO "members" VALUES('team_01kaqty0g0000000000000000a','per_01kaqty0g0000000000000000b','admin',1795512600000);
CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    email_canonical TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
, password TEXT) STRICT;
INSERT INTO "people" VALUES('per_01kaqty0g0000000000000000a','Ada@example.com','ada@example.com','Ada',1795512600000,'$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8');
INSERT INTO "people" VALUES('per_01kaqty0g0000000000000000b','bob@example.com','bob@example.com','Bob',1795512600000,NULL);
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
INSERT INTO "products" VALUES('019aafaf-0200-7000-8000-000000000001','team_01kaqty0g0000000000000000a','live','active','Consulting 日本 €',1250000,'EUR','One hour','C-1',190000,'SERVICES','hour',1795512600000,1795512600000);
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    secret_hash BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    person_id TEXT NOT NULL REFERENCES people (id),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    proved_at INTEGER NOT NULL,
    ended_at INTEGER,
    origin TEXT NOT NULL,
    browser TEXT NOT NULL
) STRICT;
INSERT INTO "sessions" VALUES('ses_01kaqty0g0000000000000000a',X'1F77C6CE934ED6691C73F00FD8E0F777D938D15AA9B8797E0403586488D35716','per_01kaqty0g0000000000000000a',1795512600000,1795512600000,1795512600000,NULL,'198.51.100.7','Firefox on Linux');
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO "settings" VALUES('token.brand','pk');
CREATE TABLE teams (
    id TEXT NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL
, deleted_at INTEGER) STRICT;
INSERT INTO "teams" VALUES('team_01kaqty0g0000000000000000a','acme','Acme',1795512600000,1795512600000,NULL);
INSERT INTO "teams" VALUES('team_01kaqty0g0000000000000000b','team_01kaqty0g0000000000000000b','Gone',1795512600000,1795512600000,1795512700000);
CREATE INDEX members_of_person ON members (person_id);
CREATE UNIQUE INDEX one_owner_per_team ON members (team_id) WHERE role = 'owner';
CREATE UNIQUE INDEX ten_active_keys_per_team ON keys (team_id, slot) WHERE revoked_at IS NULL;
CREATE INDEX keys_of_team ON keys (team_id, id);
CREATE INDEX keys_by_seq ON keys (seq);
CREATE INDEX keys_to_forget ON keys (revoked_at) WHERE revoked_at IS NOT NULL AND name IS NOT NULL;
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
CREATE TRIGGER keys_are_never_replaced BEFORE INSERT ON keys
WHEN EXISTS (SELECT 1 FROM keys WHERE id = NEW.id OR token_hash = NEW.token_hash)
BEGIN
    SELECT RAISE(ABORT, 'a key is never replaced');
END;
CREATE TRIGGER keys_are_never_deleted BEFORE DELETE ON keys
BEGIN
    SELECT RAISE(ABORT, 'a key is never deleted');
END;
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
CREATE UNIQUE INDEX one_sku_per_team_and_mode ON products (team_id, mode, sku);
CREATE INDEX products_newest ON products (team_id, mode, id);
CREATE INDEX products_newest_by_status ON products (team_id, mode, status, id);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
CREATE UNIQUE INDEX one_invitation_per_address ON links (team_id, email_canonical) WHERE purpose = 'invite';
CREATE UNIQUE INDEX one_set_up_link ON links (purpose) WHERE purpose = 'set_up';
CREATE INDEX links_of_person ON links (person_id);
CREATE INDEX links_by_end ON links (expires_at);
CREATE INDEX sessions_of_person ON sessions (person_id, seen_at);
CREATE INDEX sessions_by_use ON sessions (seen_at);
CREATE INDEX audit_of_person ON audit (team_id, by_person, id);
CREATE INDEX audit_of_target ON audit (team_id, target, id);
CREATE INDEX audit_of_action ON audit (team_id, action, id);
CREATE INDEX members_by_role ON members (team_id, role);
COMMIT;
