-- The same as migrations/postgres/0007. How keys are used; written in the background, never in the transaction of a key's change.

-- One row for each key that was called. Each write of a key's usage begins with it: the writes of two nodes for one key follow
-- each other, and the other tables need no foreign key, whose check would be paid for each of their rows.
CREATE TABLE key_activity (
    key_id TEXT NOT NULL PRIMARY KEY REFERENCES keys (id),
    written_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Days are counted from 1970-01-01, in UTC.
CREATE TABLE key_calls_by_day (
    key_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (key_id, day, outcome)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_calls_by_day_to_delete ON key_calls_by_day (day);

CREATE TABLE key_addresses (
    key_id TEXT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    refused_at INTEGER,
    accepted_at INTEGER,
    PRIMARY KEY (key_id, address, agent)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_addresses_to_delete ON key_addresses (last_at);

-- Ids of requests are in the order of time.
CREATE TABLE key_calls (
    key_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    method TEXT NOT NULL,
    route TEXT NOT NULL,
    status INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    PRIMARY KEY (key_id, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_calls_to_delete ON key_calls (at);
