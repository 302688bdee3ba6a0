-- Twin of migrations/postgres/0004. Work that is to be done once by all nodes together: who begins notes when.
CREATE TABLE duties (
    name TEXT NOT NULL PRIMARY KEY,
    begun_at INTEGER NOT NULL
) STRICT;
