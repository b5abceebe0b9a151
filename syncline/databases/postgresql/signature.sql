-- Whether anything of the user's tables, or of their capture, was altered.

-- name: signature
-- Of every ordinary table of the user's its oid, name and kind; of those that take part, and their partitions, all
-- that says what rows are like: columns, defaults, constraints, indexes, triggers, rules; all types of the user's. Rows of
-- the catalogue are told apart by the transaction that wrote them: whatever alters one writes it anew.
WITH tracked AS MATERIALIZED (
    SELECT t.relid FROM syncline.tables t
    UNION
    SELECT x.relid FROM syncline.tables t
      JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'p', pg_partition_tree(c.oid) x
), facts AS (
    SELECT 1 AS kind, count(*) AS rows,
           sum(hashtext(concat_ws(' ', c.oid, c.relnamespace, c.relname, c.relkind, c.relpersistence, c.relispartition,
                                  c.relrowsecurity, c.relhasrules))::bigint) AS hash
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'syncline')
       AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp\_%'
    UNION ALL
    SELECT 2, count(*), sum(hashtext(nspname)::bigint) FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL
    SELECT 3, count(*), sum(hashtext(concat_ws(' ', attrelid, attnum, xmin))::bigint)
      FROM pg_attribute WHERE attrelid IN (SELECT relid FROM tracked) AND attnum > 0
    UNION ALL
    SELECT 4, count(*), sum(hashtext(concat_ws(' ', oid, xmin))::bigint)
      FROM pg_attrdef WHERE adrelid IN (SELECT relid FROM tracked)
    UNION ALL
    SELECT 5, count(*), sum(hashtext(concat_ws(' ', oid, xmin))::bigint)
      FROM pg_constraint WHERE conrelid IN (SELECT relid FROM tracked)
    UNION ALL
    SELECT 6, count(*), sum(hashtext(concat_ws(' ', indexrelid, xmin))::bigint)
      FROM pg_index WHERE indrelid IN (SELECT relid FROM tracked)
    UNION ALL
    SELECT 7, count(*), sum(hashtext(concat_ws(' ', oid, xmin))::bigint)
      FROM pg_trigger WHERE tgrelid IN (SELECT relid FROM tracked)
    UNION ALL
    SELECT 8, count(*), sum(hashtext(concat_ws(' ', oid, xmin))::bigint) FROM pg_enum
    UNION ALL
    SELECT 9, count(*), sum(hashtext(concat_ws(' ', oid, xmin))::bigint)
      FROM pg_type WHERE typtype IN ('d', 'e') AND typnamespace <> 'pg_catalog'::regnamespace
    UNION ALL
    SELECT 10, count(*), sum(hashtext(concat_ws(' ', srrelid, srsubid))::bigint) FROM pg_subscription_rel
)
SELECT string_agg(concat_ws(':', kind, rows, hash), ' ' ORDER BY kind) FROM facts;
