-- Syncline's own tables and functions, in a schema of their own, but for the ledger's tables.

-- name: schema
CREATE SCHEMA syncline;

-- name: state
-- One row. `clock` is the floor for the HLC of direct writes; `fingerprint` names the version in force, `kept_old`
-- the columns that keep old values (see `databases.base.before`).
-- Log entries of transactions below `floor` are gone or going, none with an HLC above `floor_hlc`; those up to `compacted`,
-- `compacted_seq` were looked through for covered ones, at `pruned` (milliseconds since 1970 UTC) for the last time. Numbers of
-- transactions are those of `cluster`. Until the transaction `lost` capture was missing somewhere: who has not seen it may lack more than
-- the logs tell.
CREATE TABLE syncline.state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    layout int NOT NULL,
    hub text NOT NULL,
    clock bigint NOT NULL DEFAULT 0,
    fingerprint text NOT NULL DEFAULT '',
    kept_old text NOT NULL DEFAULT '',
    cluster text NOT NULL DEFAULT '',
    floor xid8 NOT NULL DEFAULT '3',
    floor_hlc bigint NOT NULL DEFAULT 0,
    lost xid8 NOT NULL DEFAULT '0',
    compacted xid8 NOT NULL DEFAULT '3',
    compacted_seq bigint NOT NULL DEFAULT 0,
    pruned bigint NOT NULL DEFAULT 0
);

-- name: first state
INSERT INTO syncline.state (layout, hub) VALUES (6, gen_random_uuid()::text);

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

-- name: spelled
-- A value whose spelling depends on the search path, such as a regclass, spelled in full.
CREATE FUNCTION syncline.spelled(value anyelement) RETURNS text LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off AS 'SELECT value::text';

-- name: castable
-- Whether an expression over $1 can be computed. Only where a cast of many values has failed.
CREATE FUNCTION syncline.castable(value text, expression text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    EXECUTE 'SELECT ' || expression USING value;
    RETURN true;
EXCEPTION WHEN data_exception OR invalid_text_representation OR integrity_constraint_violation THEN
    RETURN false;
END $$;
