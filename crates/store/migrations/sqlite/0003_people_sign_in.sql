-- Twin of migrations/postgres/0003. Ways in for people: passwords, one-time links, browser sessions; and teams that end.

-- Argon2id in its PHC form. NULL until its owner chose one by a link.
ALTER TABLE people ADD COLUMN password TEXT;

-- A deleted team keeps its row: its keys and its audit log stay for good. Its slug is given free.
ALTER TABLE teams ADD COLUMN deleted_at INTEGER;

-- The code itself is nowhere. An invitation names a team, a role and an address, a set-up link nobody, the others a person.
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

CREATE UNIQUE INDEX one_invitation_per_address ON links (team_id, email_canonical) WHERE purpose = 'invite';
CREATE UNIQUE INDEX one_set_up_link ON links (purpose) WHERE purpose = 'set_up';
CREATE INDEX links_of_person ON links (person_id);
CREATE INDEX links_by_end ON links (expires_at);

-- A browser that somebody signed in with. The cookie's secret is nowhere. Rows outlive their end by 30 days: they say
-- from which networks a person has signed in before.
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

CREATE INDEX sessions_of_person ON sessions (person_id, seen_at);
CREATE INDEX sessions_by_use ON sessions (seen_at);

CREATE INDEX audit_of_person ON audit (team_id, by_person, id);
CREATE INDEX audit_of_target ON audit (team_id, target, id);
CREATE INDEX audit_of_action ON audit (team_id, action, id);
CREATE INDEX members_by_role ON members (team_id, role);
