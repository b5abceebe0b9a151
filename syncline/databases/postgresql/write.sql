-- What a write transaction keeps besides the user's tables.

-- name: queue
-- Transactions that failed before go one after the other, whichever process they are of.
SELECT pg_advisory_xact_lock(7310579412346);

-- name: applying
SELECT set_config('syncline.applying', $1, true);

-- name: foreign key
-- A constraint by the names an error gives: the child's columns, the parent and its columns.
SELECT ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(n, o)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY o),
       pn.nspname::text, p.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(n, o)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY o)
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
 WHERE k.contype = 'f' AND n.nspname = $1 AND c.relname = $2 AND k.conname = $3;

-- name: hint
NOTIFY syncline;

-- name: make troubles
CREATE TEMPORARY TABLE IF NOT EXISTS syncline_troubles (n int, said json) ON COMMIT DROP;

-- name: one by one
-- The body of a block. A format: a doubled brace is a brace.
#variable_conflict use_column
DECLARE
    syncline_row int;
    written bigint;
    said_detail text; said_schema text; said_table text; said_constraint text; said_context text;
BEGIN
    FOREACH syncline_row IN ARRAY {rows}::int[] LOOP
        BEGIN
            {statement};
            GET DIAGNOSTICS written = ROW_COUNT;
            IF {left_out} THEN
                INSERT INTO pg_temp.syncline_troubles (n) VALUES (syncline_row);
            END IF;
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            IF SQLSTATE IN ({states}) OR left(SQLSTATE, 2) IN ({states}) THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS said_detail = PG_EXCEPTION_DETAIL, said_schema = SCHEMA_NAME,
                said_table = TABLE_NAME, said_constraint = CONSTRAINT_NAME, said_context = PG_EXCEPTION_CONTEXT;
            INSERT INTO pg_temp.syncline_troubles VALUES (syncline_row, json_build_object(
                'sqlstate', SQLSTATE, 'message_primary', SQLERRM, 'message_detail', said_detail, 'schema_name', said_schema,
                'table_name', said_table, 'constraint_name', said_constraint, 'context', said_context));
        END;
    END LOOP;
END

-- name: troubles
DELETE FROM pg_temp.syncline_troubles RETURNING n, said;

-- name: unique columns
-- The columns of the table's unique indexes and exclusion constraints, also those that an expression or a
-- condition of them reads, but the key's and those that others point at: index, name, the name of the
-- type, or of its kind (domains resolved once), its length, whether it may be NULL, whether it points at another table.
SELECT i.indexrelid::int8, a.attname::text, CASE b.typtype WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange' ELSE b.typname::text END, a.atttypmod::int4,
       NOT a.attnotnull AND NOT t.typnotnull,
       EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = a.attrelid AND a.attnum = ANY (k.conkey))
  FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   AND (a.attnum = ANY (i.indkey::int2[])
        OR EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum))
  JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
 WHERE i.indrelid = to_regclass($1) AND NOT i.indisprimary AND (i.indisunique OR i.indisexclusion)
   AND NOT EXISTS (SELECT FROM pg_constraint k
                    WHERE k.contype = 'f' AND k.confrelid = a.attrelid AND a.attnum = ANY (k.confkey))
 ORDER BY 1, 2;
