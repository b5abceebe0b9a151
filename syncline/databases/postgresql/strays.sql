-- Changes of rows whose key is not known (see `strays`).

-- name: strays
-- Changes of rows whose key the capture could not tell, because the key's columns had been altered: `now` and
-- `former` are the rows as JSON, `keys` the names of the key's columns at that time. The next `prepare` moves them
-- into their log.
CREATE TABLE syncline.strays (
    seq bigint PRIMARY KEY DEFAULT nextval('syncline.log_seq'),
    n int NOT NULL,
    hlc bigint NOT NULL,
    keys text[] NOT NULL,
    former json,
    now json
);

-- name: key names
-- What columns of a table are called at present, by attnum; NULL for one that is gone.
CREATE FUNCTION syncline.key_names(relation oid, numbers int2[]) RETURNS text[] LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg(a.attname::text ORDER BY u.place)
      FROM unnest(numbers) WITH ORDINALITY AS u(number, place)
      LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = u.number AND NOT a.attisdropped
$$;
