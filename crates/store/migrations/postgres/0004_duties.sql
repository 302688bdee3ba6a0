-- Twin of migrations/sqlite/0004. Work that is to be done once by all nodes together: who begins notes when.
CREATE TABLE duties (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    begun_at BIGINT NOT NULL
);
