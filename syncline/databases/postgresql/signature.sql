-- Whether anything of the user's tables, or of their capture, was altered.

-- name: signature
-- Of every ordinary table of the user's its oid, name and kind; of those that take part, of those named $1, and their partitions, all
-- that says what rows are like: columns, defaults, constraints, indexes, triggers; all domains and enums; and what was
-- prepared last, by whichever process. Whatever
-- alters a row of the catalogue writes it anew, with a later transaction than the one before: number of rows
-- and sum of the transactions cannot stay the same. (The sum is taken from their ages, which is cheaper than to cast.)
WITH spaces AS MATERIALIZED (
    SELECT oid, nspname FROM pg_namespace
     WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'syncline') AND nspname !~ '^pg_(toast|temp)'
), chosen AS MATERIALIZED (
    SELECT relid::oid FROM syncline.tables
    UNION
    SELECT c.oid FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace WHERE s.nspname || '.' || c.relname = ANY ($1::text[])
), tracked AS MATERIALIZED (
    SELECT relid FROM chosen
    UNION
    SELECT x.relid FROM chosen t
      JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'p', pg_partition_tree(c.oid) x
), altered AS (
    SELECT 3 AS kind, xmin FROM pg_attribute WHERE attrelid = ANY (ARRAY(SELECT relid FROM tracked)) AND attnum > 0
    UNION ALL SELECT 4, xmin FROM pg_attrdef WHERE adrelid = ANY (ARRAY(SELECT relid FROM tracked))
    UNION ALL SELECT 5, xmin FROM pg_constraint WHERE conrelid = ANY (ARRAY(SELECT relid FROM tracked))
    UNION ALL SELECT 6, xmin FROM pg_index WHERE indrelid = ANY (ARRAY(SELECT relid FROM tracked))
    UNION ALL SELECT 7, xmin FROM pg_enum
    UNION ALL SELECT 8, xmin FROM pg_type WHERE typtype IN ('d', 'e') AND oid >= 16384
    UNION ALL SELECT 10, xmin FROM pg_trigger WHERE tgrelid = ANY (ARRAY(SELECT relid FROM tracked))
), facts AS (
    SELECT 1 AS kind, count(*) AS rows,
           sum(hashtext(concat_ws(' ', oid, relnamespace, relname, relkind, relpersistence, relispartition,
                                  relrowsecurity, relhasrules))::bigint) AS hash
      FROM pg_class WHERE relnamespace IN (SELECT oid FROM spaces) AND relkind IN ('r', 'p', 'f', 'v', 'm')
    UNION ALL SELECT 2, count(*), sum(hashtext(concat_ws(' ', oid, nspname))::bigint) FROM spaces
    UNION ALL SELECT kind, count(*), sum(age(xmin)::bigint) - count(*) * age('3'::xid) FROM altered GROUP BY kind
    UNION ALL SELECT 11, 1, hashtext(concat_ws(' ', hub, fingerprint, before))::bigint FROM syncline.state
    UNION ALL SELECT 9, count(*), sum(hashtext(concat_ws(' ', srrelid, srsubid))::bigint) FROM pg_subscription_rel
)
SELECT string_agg(concat_ws(':', kind, rows, hash), ' ' ORDER BY kind) FROM facts;
