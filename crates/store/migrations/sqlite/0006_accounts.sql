-- The same as migrations/postgres/0006. Addresses that wait for a one-time link, and accounts that were removed.

-- The address that a person asked for. It counts once a link for it was used.
ALTER TABLE people ADD COLUMN pending_email TEXT;
-- A removed account keeps its row, because keys and audit events refer to it. Its address is free again.
ALTER TABLE people ADD COLUMN removed_at INTEGER;

-- Links get one more purpose. SQLite can't change a CHECK, so the table is built anew; no other table refers to it.
CREATE TABLE new_links (
    id TEXT NOT NULL PRIMARY KEY,
    code_hash BLOB NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    purpose TEXT NOT NULL CHECK (purpose IN ('set_up', 'invite', 'reset', 'sign_in', 'change_email')),
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
    CHECK ((purpose IN ('reset', 'sign_in', 'change_email')) = (person_id IS NOT NULL))
) STRICT;

INSERT INTO new_links (id, code_hash, purpose, person_id, team_id, email, email_canonical, role, made_by, made_by_name,
                       created_at, expires_at)
SELECT id, code_hash, purpose, person_id, team_id, email, email_canonical, role, made_by, made_by_name,
       created_at, expires_at
FROM links;

DROP TABLE links;
ALTER TABLE new_links RENAME TO links;

CREATE UNIQUE INDEX one_invitation_per_address ON links (team_id, email_canonical) WHERE purpose = 'invite';
CREATE UNIQUE INDEX one_set_up_link ON links (purpose) WHERE purpose = 'set_up';
CREATE INDEX links_of_person ON links (person_id);
CREATE INDEX links_by_end ON links (expires_at);
