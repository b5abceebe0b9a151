-- Syncline's own tables and functions, in a schema of their own. Layout 2.

-- name: schema
CREATE SCHEMA syncline;

-- name: state
-- One row. `clock` is the floor for the HLC of direct writes; `definition` the portable schema as JSON.
-- Log entries of transactions below `floor` are gone, none with an HLC above `floor_hlc`; those below
-- `compacted` were looked through for covered ones, at `pruned` for the last time. Numbers of transactions
-- are those of `cluster`.
CREATE TABLE syncline.state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    layout int NOT NULL,
    hub text NOT NULL,
    clock bigint NOT NULL DEFAULT 0,
    definition text NOT NULL DEFAULT '',
    cluster text NOT NULL DEFAULT '',
    floor xid8 NOT NULL DEFAULT '3',
    floor_hlc bigint NOT NULL DEFAULT 0,
    compacted xid8 NOT NULL DEFAULT '3',
    pruned timestamptz NOT NULL DEFAULT '-infinity'
);

-- name: first state
INSERT INTO syncline.state (layout, hub) VALUES (3, gen_random_uuid()::text);

-- name: tables
-- `n` names a table's log and functions and stays. `columns` and `capture` say what those were made for.
CREATE TABLE syncline.tables (
    n int PRIMARY KEY,
    central_schema text NOT NULL,
    central_name text NOT NULL,
    columns text NOT NULL,
    capture text NOT NULL,
    UNIQUE (central_schema, central_name)
);

-- name: marks
-- Entries that are gone but at which a replica's position may end: they tell that it was of this log.
CREATE TABLE syncline.marks (xid xid8 NOT NULL, hlc bigint NOT NULL);

-- name: marks by xid
CREATE INDEX marks_by_xid ON syncline.marks (xid);

-- name: moments
-- Every transaction below `xid` had ended at that time.
CREATE TABLE syncline.moments (at timestamptz PRIMARY KEY, xid xid8 NOT NULL);

-- name: clients
-- `actor` is whoever registered it. `watermark` is the position that the replica has confirmed: that of its last pull, true to the minute as
-- `last_seen` is.
CREATE TABLE syncline.clients (
    replica text PRIMARY KEY,
    number bigint NOT NULL,
    digest text NOT NULL,
    verdict bytea NOT NULL,
    last_push timestamptz,
    last_pull timestamptz,
    name text NOT NULL DEFAULT '',
    fingerprint text NOT NULL DEFAULT '',
    registered timestamptz,
    last_seen timestamptz,
    watermark text NOT NULL DEFAULT '',
    revoked boolean NOT NULL DEFAULT false,
    forgotten boolean NOT NULL DEFAULT false,
    actor text NOT NULL DEFAULT 'anyone'
);

-- name: conflicts
CREATE TABLE syncline.conflicts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    replica text NOT NULL,
    push bigint NOT NULL,
    open boolean NOT NULL,
    data text NOT NULL
);

-- name: conflicts by replica
CREATE INDEX conflicts_by_replica ON syncline.conflicts (replica, id);

-- name: open conflicts
CREATE INDEX conflicts_open ON syncline.conflicts (id) WHERE open;

-- name: uploads
-- Large pushes on their way, one a replica. What a crash loses is sent again.
CREATE UNLOGGED TABLE syncline.uploads (
    replica text PRIMARY KEY,
    number bigint NOT NULL,
    digest text NOT NULL,
    schema text NOT NULL,
    chunks int NOT NULL,
    rows bigint NOT NULL,
    bases text NOT NULL,
    begun timestamptz NOT NULL DEFAULT now()
);

-- name: chunks
CREATE UNLOGGED TABLE syncline.chunks (
    replica text NOT NULL,
    chunk int NOT NULL,
    digest text NOT NULL,
    details bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (replica, chunk)
);

-- name: chunks as they are
-- They were sent compressed if that was worth it: do not try again.
ALTER TABLE syncline.chunks ALTER COLUMN body SET STORAGE EXTERNAL;

-- name: log sequence
-- Uncached: for one row, whose writers follow each other, the numbers then are the order of its changes.
CREATE SEQUENCE syncline.log_seq;

-- name: direct hlc
-- The HLC of a write made straight in this database: wall clock, but above everything known.
CREATE FUNCTION syncline.direct_hlc() RETURNS bigint LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint << 16, clock + 1) FROM syncline.state
$$;

-- name: array literal
-- The text PostgreSQL reads as the array that a JSON array stands for.
CREATE FUNCTION syncline.array_literal(items json) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT '{' || coalesce(string_agg(CASE json_typeof(item)
                       WHEN 'null' THEN 'NULL'
                       WHEN 'array' THEN syncline.array_literal(item)
                       ELSE '"' || replace(replace(item #>> '{}', '\', '\\'), '"', '\"') || '"' END, ',' ORDER BY n), '')
                   || '}'
              FROM json_array_elements(items) WITH ORDINALITY AS element(item, n));
END $$;

-- name: castable
-- Whether an expression over $1 can be computed. Only where a cast of many values has failed.
CREATE FUNCTION syncline.castable(value text, expression text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    EXECUTE 'SELECT ' || expression USING value;
    RETURN true;
EXCEPTION WHEN data_exception OR invalid_text_representation OR integrity_constraint_violation THEN
    RETURN false;
END $$;
