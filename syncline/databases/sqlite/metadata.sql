-- Syncline's own tables in a SQLite centre, layout 3. Key and mask columns of the log are added by width.

-- One row: the hub's identity, the HLC floor of direct writes, and whether capture is suppressed: the number
-- of one table, set and reset inside the transaction that applies a push, invisible to everybody else. Log
-- entries below `floor` are gone, none with an HLC above `floor_hlc`; up to `compacted` the log was looked
-- through for covered ones. `pruned`: when that was last done, milliseconds since 1970 UTC.
CREATE TABLE IF NOT EXISTS _sync_hub (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    layout INTEGER NOT NULL,
    hub TEXT NOT NULL,
    clock INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER,
    fingerprint TEXT NOT NULL DEFAULT '',
    floor INTEGER NOT NULL DEFAULT 0,
    floor_hlc INTEGER NOT NULL DEFAULT 0,
    compacted INTEGER NOT NULL DEFAULT 0,
    pruned INTEGER NOT NULL DEFAULT 0
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
-- `nonce`, a random number, tells an entry of a push from one with the same HLC in another past of this file,
-- where the same push was committed before; direct writes are told apart by their HLC.
CREATE TABLE IF NOT EXISTS _sync_hub_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tbl INTEGER NOT NULL,
    op TEXT NOT NULL,
    hlc INTEGER NOT NULL,
    origin TEXT NOT NULL,
    old TEXT,
    nonce INTEGER
);

-- Entries that are gone but at which a replica's position may end: they tell that it was of this log.
CREATE TABLE IF NOT EXISTS _sync_hub_mark (
    seq INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL
);

-- How long the log was when: `at` in milliseconds since 1970 UTC.
CREATE TABLE IF NOT EXISTS _sync_hub_moment (
    at INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
);

-- The replicas, with the last push and the hub's own record of its verdict. `watermark` is the position that
-- the replica has confirmed: that of its last pull, true to the minute as `last_seen` is.
CREATE TABLE IF NOT EXISTS _sync_hub_client (
    replica TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    verdict BLOB NOT NULL,
    last_push TEXT,
    last_pull TEXT,
    name TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL DEFAULT '',
    registered TEXT,
    last_seen TEXT,
    watermark TEXT NOT NULL DEFAULT '',
    revoked INTEGER NOT NULL DEFAULT 0,
    forgotten INTEGER NOT NULL DEFAULT 0,
    actor TEXT NOT NULL DEFAULT 'anyone'
) WITHOUT ROWID;

-- Conflicts kept with both values and the base.
CREATE TABLE IF NOT EXISTS _sync_hub_conflict (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    replica TEXT NOT NULL,
    push INTEGER NOT NULL,
    open INTEGER NOT NULL,
    data TEXT NOT NULL
);

-- Large pushes on their way, one a replica. `bases` is a JSON list; times are seconds since 1970.
CREATE TABLE IF NOT EXISTS _sync_hub_upload (
    replica TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    schema TEXT NOT NULL,
    chunks INTEGER NOT NULL,
    "rows" INTEGER NOT NULL,
    bases TEXT NOT NULL,
    begun REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS _sync_hub_chunk (
    replica TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    digest TEXT NOT NULL,
    details BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (replica, chunk)
);
