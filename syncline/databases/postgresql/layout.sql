-- Syncline's own tables and functions, in a schema of their own. Layout 1.

-- name: schema
CREATE SCHEMA syncline;

-- name: state
-- One row. `clock` is the floor for the HLC of direct writes; `definition` the portable schema as JSON.
CREATE TABLE syncline.state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    layout int NOT NULL,
    hub text NOT NULL,
    clock bigint NOT NULL DEFAULT 0,
    definition text NOT NULL DEFAULT ''
);

-- name: first state
INSERT INTO syncline.state (layout, hub) VALUES (1, gen_random_uuid()::text);

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

-- name: clients
CREATE TABLE syncline.clients (
    replica text PRIMARY KEY,
    number bigint NOT NULL,
    digest text NOT NULL,
    verdict bytea NOT NULL,
    last_push timestamptz,
    last_pull timestamptz
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
