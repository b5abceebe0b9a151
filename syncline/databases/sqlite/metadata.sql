-- Syncline's own tables in a SQLite centre, but for the ledger's. Key and mask columns of the log are added by
-- width.

-- name: state
-- One row: the hub's identity, the HLC floor of direct writes, and whether capture is suppressed: the number
-- of one table, set and reset inside the transaction that applies a push, invisible to everybody else. Log
-- entries below `floor` are gone, none with an HLC above `floor_hlc`; up to `compacted` the log was looked
-- through for covered ones; until the entry `lost` capture was missing somewhere: who has not seen it may lack more
-- than the log tells. `pruned`: when that was last done, milliseconds since 1970 UTC.
CREATE TABLE _sync_hub (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    layout INTEGER NOT NULL,
    hub TEXT NOT NULL,
    clock INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER,
    fingerprint TEXT NOT NULL DEFAULT '',
    kept_old TEXT NOT NULL DEFAULT '',
    floor INTEGER NOT NULL DEFAULT 0,
    floor_hlc INTEGER NOT NULL DEFAULT 0,
    compacted INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    pruned INTEGER NOT NULL DEFAULT 0
);

-- name: log
-- The change log. op: I, U, D, R, i and d (see model/operations.py), or M (perhaps removed by a REPLACE: look
-- whether the row is there).
-- `old` holds old values of U, D and M, see rows.py, of the columns that `kept_old` declares. Numbers are never used again, so a position stays true.
-- `nonce`, a random number, tells an entry from any other that has its number in another past of this file: a clock
-- does not, which may have been ahead, and the same push may come again.
CREATE TABLE _sync_hub_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tbl INTEGER NOT NULL,
    op TEXT NOT NULL,
    hlc INTEGER NOT NULL,
    origin TEXT NOT NULL,
    old TEXT,
    nonce INTEGER NOT NULL DEFAULT (random() & 0x7fffffffffffffff)
);

-- name: triggers
-- The capture triggers as they were installed: what ALTER TABLE ... RENAME has made of them since says what
-- is called how now. And the definitions of the tables that they were made for: another one may have columns that
-- they cannot name.
CREATE TABLE _sync_hub_trigger (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL
) WITHOUT ROWID;

-- name: marks
-- Entries that are gone but at which a replica's position may end: they tell that it was of this log.
CREATE TABLE _sync_hub_mark (
    seq INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL
);
