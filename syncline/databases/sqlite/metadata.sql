-- Syncline's own tables in a SQLite centre, layout 1. Key and mask columns of the log are added by width.

-- One row: the hub's identity, the HLC floor of direct writes, and whether capture is suppressed: the number
-- of one table, set and reset inside the transaction that applies a push, invisible to everybody else.
CREATE TABLE IF NOT EXISTS _sync_hub (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    layout INTEGER NOT NULL,
    hub TEXT NOT NULL,
    clock INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER,
    fingerprint TEXT NOT NULL DEFAULT ''
);

-- Stable numbers for the tables: a table keeps its number when the schema changes around it.
CREATE TABLE IF NOT EXISTS _sync_hub_table (
    n INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- The schemas prepared so far; the last one is in force.
CREATE TABLE IF NOT EXISTS _sync_hub_schema (
    n INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    body TEXT NOT NULL,
    at TEXT NOT NULL
);

-- The change log. op: I, U, D, R, or M (perhaps removed by a REPLACE: look whether the row is there).
-- `old` holds the old row of D and M, see rows.py. Numbers are never used again, so a position stays true.
CREATE TABLE IF NOT EXISTS _sync_hub_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tbl INTEGER NOT NULL,
    op TEXT NOT NULL,
    hlc INTEGER NOT NULL,
    origin TEXT NOT NULL,
    old TEXT
);

-- The replicas, with the last push and the hub's own record of its verdict.
CREATE TABLE IF NOT EXISTS _sync_hub_client (
    replica TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    verdict BLOB NOT NULL,
    last_push TEXT,
    last_pull TEXT
) WITHOUT ROWID;

-- Conflicts kept with both values and the base.
CREATE TABLE IF NOT EXISTS _sync_hub_conflict (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    replica TEXT NOT NULL,
    push INTEGER NOT NULL,
    open INTEGER NOT NULL,
    data TEXT NOT NULL
);
