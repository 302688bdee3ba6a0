-- The same as migrations/sqlite/0007. How keys are used; written in the background, never in the transaction of a key's change.

-- One row for each key that was called. Each write of a key's usage begins with it: the writes of two nodes for one key follow
-- each other, and the other tables need no foreign key, whose check would be paid for each of their rows.
CREATE TABLE key_activity (
    key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES keys (id),
    written_at BIGINT NOT NULL
);

-- Days are counted from 1970-01-01, in UTC.
CREATE TABLE key_calls_by_day (
    key_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (key_id, day, outcome)
);

CREATE INDEX key_calls_by_day_to_delete ON key_calls_by_day (day);

CREATE TABLE key_addresses (
    key_id TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    refused_at BIGINT,
    accepted_at BIGINT,
    PRIMARY KEY (key_id, address, agent)
);

CREATE INDEX key_addresses_to_delete ON key_addresses (last_at);

-- Ids of requests are in the order of time.
CREATE TABLE key_calls (
    key_id TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    status BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key_id, request_id)
);

CREATE INDEX key_calls_to_delete ON key_calls (at);
