-- Whether anything of the user's tables, or of their capture, was altered.

-- name: signature
-- Of every ordinary table of the user's its oid, name and kind; of those that take part, of those named $1, and their partitions, all
-- that says what rows are like: columns, defaults, constraints, indexes, triggers; of all others what may let them take
-- part from now on: columns, unique indexes, parents and children, whether rows are hidden, whether an extension owns
-- them; all types; and what was prepared last, by whichever process. Whatever
-- alters a row of the catalogue writes it anew, with a later transaction than the one before: number of rows
-- and sum of the transactions cannot stay the same. (The sum is taken from their ages, which is cheaper than to cast.)
WITH spaces AS MATERIALIZED (
    SELECT oid, nspname FROM pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'syncline') AND nspname !~ '^pg_(toast|temp)'
), present AS MATERIALIZED (
    SELECT c.* FROM pg_class c WHERE c.relnamespace IN (SELECT oid FROM spaces) AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
), chosen AS MATERIALIZED (
    SELECT relid::oid FROM syncline.tables UNION
    SELECT c.oid FROM present c JOIN spaces s ON s.oid = c.relnamespace WHERE s.nspname || '.' || c.relname = ANY ($1::text[])
), tracked AS MATERIALIZED (
    SELECT relid FROM chosen UNION
    SELECT x.relid FROM chosen t
      JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'p', LATERAL {{partitions c.oid}} x
), others AS MATERIALIZED (
    SELECT oid FROM present WHERE relkind IN ('r', 'p') AND NOT relispartition AND oid NOT IN (SELECT relid FROM tracked)
), altered AS (
    SELECT 3 AS kind, xmin FROM pg_attribute WHERE attrelid = ANY (ARRAY(SELECT relid FROM tracked)) AND attnum > 0
    UNION ALL SELECT 4, xmin FROM pg_attrdef WHERE adrelid = ANY (ARRAY(SELECT relid FROM tracked))
    UNION ALL SELECT 5, xmin FROM pg_constraint WHERE conrelid = ANY (ARRAY(SELECT relid FROM tracked))
    UNION ALL SELECT 6, xmin FROM pg_index WHERE indrelid = ANY (ARRAY(SELECT relid FROM tracked))
    UNION ALL SELECT 7, xmin FROM pg_enum
    UNION ALL SELECT 8, xmin FROM pg_type WHERE oid >= 16384 AND typelem = 0 AND (typtype <> 'c' OR typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c'))
    UNION ALL SELECT 10, xmin FROM pg_trigger WHERE tgrelid = ANY (ARRAY(SELECT relid FROM tracked))
    UNION ALL SELECT 12, xmin FROM pg_attribute WHERE attrelid = ANY (ARRAY(SELECT oid FROM others)) AND attnum > 0
    UNION ALL SELECT 13, xmin FROM pg_index WHERE indrelid = ANY (ARRAY(SELECT oid FROM others)) AND indisunique
    UNION ALL SELECT 14, xmin FROM pg_inherits WHERE inhrelid = ANY (ARRAY(SELECT oid FROM others))
    UNION ALL SELECT 15, xmin FROM pg_inherits WHERE inhparent = ANY (ARRAY(SELECT oid FROM others))
    UNION ALL SELECT 16, xmin FROM pg_depend
               WHERE classid = 'pg_class'::regclass AND objid = ANY (ARRAY(SELECT oid FROM others)) AND deptype = 'e'
), facts AS (
    SELECT 1 AS kind, count(*) AS rows,
           sum(hashtext(concat_ws(' ', oid, relnamespace, relname, relkind, relpersistence, relispartition,
                                  relrowsecurity, relrowsecurity AND row_security_active(oid), relhasrules))::bigint) AS hash
      FROM present
    UNION ALL SELECT 2, count(*), sum(hashtext(concat_ws(' ', oid, nspname))::bigint) FROM spaces
    UNION ALL SELECT kind, count(*), sum(age(xmin)::bigint) - count(*) * age('3'::xid) FROM altered GROUP BY kind
    UNION ALL SELECT 11, 1, hashtext(concat_ws(' ', hub, fingerprint, kept_old))::bigint FROM syncline.state
    UNION ALL SELECT 9, count(*), sum(hashtext(concat_ws(' ', srrelid, srsubid))::bigint) FROM pg_subscription_rel
)
SELECT string_agg(concat_ws(':', kind, rows, hash), ' ' ORDER BY kind) FROM facts;
