-- The same as migrations/sqlite/0006. Addresses that wait for a one-time link, and accounts that were removed.

-- The address that a person asked for. It counts once a link for it was used.
ALTER TABLE people ADD COLUMN pending_email TEXT;
-- A removed account keeps its row, because keys and audit events refer to it. Its address is free again.
ALTER TABLE people ADD COLUMN removed_at BIGINT;

-- Links get one more purpose.
ALTER TABLE links DROP CONSTRAINT links_purpose_check;
ALTER TABLE links ADD CONSTRAINT links_purpose_check
    CHECK (purpose IN ('set_up', 'invite', 'reset', 'sign_in', 'change_email'));
ALTER TABLE links DROP CONSTRAINT links_check1;
ALTER TABLE links ADD CONSTRAINT links_check1
    CHECK ((purpose IN ('reset', 'sign_in', 'change_email')) = (person_id IS NOT NULL));
