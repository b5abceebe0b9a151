-- Syncline's own tables in a replica. Every name begins with _sync_; the application's tables
-- are not touched. The change logs (_sync_log_<n>) are made per table by replica.capture.

-- One row. format is the layout: older files, which counted otherwise, have no such column. suppressed = 1 only inside a transaction that applies what the hub sent. rejected: the highest id that a rejected edit was ever given.
CREATE TABLE _sync_state (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    format      INTEGER NOT NULL,
    replica     TEXT NOT NULL,
    hub_url     TEXT,
    hub         TEXT,
    suppressed  INTEGER NOT NULL DEFAULT 0,
    checkpoint  INTEGER NOT NULL DEFAULT 1,
    hlc         INTEGER NOT NULL DEFAULT 0,
    push        INTEGER NOT NULL DEFAULT 0,
    schema      TEXT,
    fingerprint TEXT,
    names       TEXT,
    retired     TEXT,
    forms       TEXT,
    chosen      INTEGER NOT NULL DEFAULT 0,
    local_rows  TEXT,
    watermark   TEXT,
    limits      TEXT,
    last_sync   TEXT,
    hydrate     TEXT,
    recovery    TEXT,
    chain       TEXT DEFAULT '',
    horizon     TEXT,
    former      TEXT NOT NULL DEFAULT '[]',
    carried     INTEGER NOT NULL DEFAULT 0,
    chunk_bytes INTEGER,
    rejected    INTEGER NOT NULL DEFAULT 0
);

-- What the replica had seen of the hub, and the highest clock it knew, when an edit was made.
CREATE TABLE _sync_checkpoint (
    id        INTEGER PRIMARY KEY,
    watermark TEXT NOT NULL,
    hlc       INTEGER NOT NULL
);

-- The tracked tables by the hub's numbers; _sync_log_<n> and the triggers are named by them.
CREATE TABLE _sync_table (
    n    INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- Tables that were not captured for a while (the application made them anew), until they are compared with the
-- centre; seq: the end of the change log when that was noticed. replaced: 1 where all was captured but for the
-- rows that a REPLACE may have removed by an index which was made before capture knew it. aside: 1 while the table
-- cannot take part (it is not there, has no key, or refers to such a one), 2 when it can again and news of it were
-- passed over since the watermark `since`. replaced = 2: all was captured, it only waited for another table.
-- lacked: JSON list of the columns that it was seen without; due: of those that the centre got meanwhile.
CREATE TABLE _sync_lost (
    n        INTEGER PRIMARY KEY,
    seq      INTEGER NOT NULL,
    replaced INTEGER NOT NULL DEFAULT 0,
    aside    INTEGER NOT NULL DEFAULT 0,
    since    TEXT,
    lacked   TEXT NOT NULL DEFAULT '[]',
    due      TEXT NOT NULL DEFAULT '[]'
);

-- The push in flight, at most one, exactly as it is sent. bases: JSON list of watermarks. fingerprint: of the
-- schema that it was frozen under. stamps and made: of one that is offered again, which covers no log entries.
CREATE TABLE _sync_outbox (
    number INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    body   BLOB NOT NULL,
    bases  TEXT NOT NULL,
    frozen TEXT NOT NULL,
    fingerprint TEXT,
    stamps BLOB,
    marks  BLOB,
    made INTEGER NOT NULL DEFAULT 0
);

-- A push in flight that does not fit one request, chunk by chunk; the outbox has the digest of the whole
-- then, and an empty body. Goes with it, but for the bodies.
CREATE TABLE _sync_outbox_chunk (
    chunk     INTEGER PRIMARY KEY,
    push      INTEGER NOT NULL REFERENCES _sync_outbox (number) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    row_count INTEGER NOT NULL,
    digest    TEXT NOT NULL,
    body_id   INTEGER NOT NULL
);

-- The bodies of chunks, of the push in flight and of kept ones: each stands here once, as long as one of them
-- names it.
CREATE TABLE _sync_body (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- Log entries with seq <= this are covered by the push in flight.
CREATE TABLE _sync_outbox_cut (
    n   INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
);

-- Images of rows with pending edits that are not in their table at present: [numbers of value columns, values].
CREATE TABLE _sync_parked (
    n     INTEGER NOT NULL,
    key   BLOB NOT NULL,
    image BLOB NOT NULL,
    PRIMARY KEY (n, key)
) WITHOUT ROWID;

-- What the hub has of a row and what cannot be shown now. state: [columns, values], or nil: the row is gone.
-- reason: NULL where pending edits of other rows stand in the way (a unique value, a child of a deleted parent);
-- [object, sentence] where an object of the application refuses the row. since: the checkpoint that the shown
-- values are of, which edits of them stand on. Tried again with every apply.
CREATE TABLE _sync_held (
    n      INTEGER NOT NULL,
    key    BLOB NOT NULL,
    state  BLOB NOT NULL,
    since  INTEGER NOT NULL,
    reason BLOB,
    PRIMARY KEY (n, key)
) WITHOUT ROWID;

-- Edits that the centre cannot hold. edit: columns, values and base; what their columns were called, too, and
-- the table; parent: table number and key, or NULL; stamps: of the log entries that it is made of, NULL if not known; part:
-- 'push' if others' are among them, 'columns' if more columns were edited; first: the key that it was rejected under,
-- where it has another by now. id: never given out again, see _sync_state.rejected.
CREATE TABLE _sync_rejected (
    id     INTEGER PRIMARY KEY,
    n      INTEGER NOT NULL,
    key    BLOB NOT NULL,
    op     TEXT NOT NULL,
    edit   BLOB NOT NULL,
    code   TEXT NOT NULL,
    detail TEXT NOT NULL,
    remedy TEXT NOT NULL,
    parent BLOB,
    at     TEXT NOT NULL,
    push   INTEGER,
    stamps BLOB,
    part   TEXT,
    first  BLOB
);

-- The stamps of log entries that a retry has made. They are derived from those of the rejected edit: a copy of the
-- file may make the same retry. told: all that the entry is told by, one of each of those; made: when the edit was
-- rejected, in milliseconds since 1970 UTC, NULL if a person has looked whether the centre has it.
CREATE TABLE _sync_retried (
    stamp BLOB PRIMARY KEY,
    told  BLOB NOT NULL,
    made  INTEGER
) WITHOUT ROWID;

-- What became of rejected edits that were retried or discarded, kept for a while: a centre that goes back in time is
-- told again that they were rejected. again: the stamps of the retry; the others as in _sync_rejected.
CREATE TABLE _sync_settled (
    id     INTEGER PRIMARY KEY,
    n      INTEGER NOT NULL,
    key    BLOB NOT NULL,
    code   TEXT NOT NULL,
    detail TEXT NOT NULL,
    remedy TEXT NOT NULL,
    at     TEXT NOT NULL,
    stamps BLOB NOT NULL,
    part   TEXT,
    again  BLOB
);

-- Is the edit of a row kept already? A file of this layout that has no such index is read slower.
CREATE INDEX _sync_rejected_row ON _sync_rejected (n, key);

-- Conflicts as the hub noted them (id is the hub's; negative: noted by the replica itself).
CREATE TABLE _sync_conflict (
    id   INTEGER PRIMARY KEY,
    note BLOB NOT NULL
);

-- Pages pulled and not applied yet, and of which schema they are (its fingerprint).
CREATE TABLE _sync_stage (
    page   INTEGER PRIMARY KEY,
    schema TEXT,
    body   BLOB NOT NULL
);

-- What a file that follows a change of the schema has fetched: pages of new tables and of new columns.
CREATE TABLE _sync_fill (
    page INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- The indexes that Syncline has made, by the table's number; what says which columns it has, by number.
CREATE TABLE _sync_index (
    n    INTEGER NOT NULL,
    what TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (n, what)
) WITHOUT ROWID;

-- The foreign keys of the hub's that the file cannot have yet, by the table's number and those of their columns.
CREATE TABLE _sync_reference (
    n    INTEGER NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (n, what)
) WITHOUT ROWID;

-- Pushes that the hub has taken, kept for a while: a centre that goes back in time is offered them again. A
-- large one is in parts, whose bodies are in _sync_body. refused: packed [[table number, key], ...] of what was
-- rejected, which is not offered again, or NULL. again = 1: the centre has lost it, and it waits to be sent. stamps:
-- of its edits, with the first part, but for those that were rejected; marks: of which rows they are, or NULL (see
-- replica/whose.py); imprint: of all that were told. at: when
-- it was kept, by the clock of this device; made: when the hub decided it, by its own, in milliseconds since 1970
-- UTC, 0 if that is not known. bases: what its edits stand on. horizon: a position that has seen it. The body
-- stands last: the others are read without it.
CREATE TABLE _sync_sent (
    number      INTEGER NOT NULL,
    part        INTEGER NOT NULL DEFAULT 0,
    at          TEXT NOT NULL,
    made        INTEGER NOT NULL,
    again       INTEGER NOT NULL DEFAULT 0,
    fingerprint TEXT,
    refused     BLOB,
    stamps      BLOB,
    marks       BLOB,
    imprint     BLOB,
    bases       TEXT NOT NULL,
    horizon     TEXT,
    digest      TEXT NOT NULL,
    body_id     INTEGER,
    body        BLOB,
    PRIMARY KEY (number, part),
    CHECK ((body_id IS NULL) <> (body IS NULL))
);

CREATE INDEX _sync_sent_body ON _sync_sent (body_id) WHERE body_id IS NOT NULL;
