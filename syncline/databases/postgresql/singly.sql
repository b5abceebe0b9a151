-- Trying rows one by one within the server.

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
