-- What is prepared already.

-- name: prepared
-- Whether it is a layout that keeps the versions of the schema; NULL if there is none.
SELECT to_regclass('syncline.versions') IS NOT NULL WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('syncline.state') AND attname = 'layout');

-- name: triggers
-- Our triggers: the table's schema and name, the trigger's name, whether it always fires.
SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled = 'A'
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE t.tgname ~ '^syncline_(insert|update|inner_update|delete|truncate)_[0-9]+$' AND NOT t.tgisinternal AND t.tgparentid = 0 AND {{ours t}};

-- name: as they are named
-- Of the tracked tables $1 by number: schema and name as they are now, the columns' numbers by attnum, their names by
-- attnum, and the oids of the foreign keys that it has or that refer to it, as often as they have triggers on it,
-- with the attnums, negative, of columns that are computed.
SELECT s.n, n.nspname::text, c.relname::text, s.columns,
       (SELECT coalesce(json_object_agg(a.attnum, a.attname), '{}') FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       ARRAY(SELECT g.tgconstraint::int8 FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgconstraint <> 0 UNION ALL
             SELECT -a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND (a.attgenerated <> '' OR a.attidentity <> '') ORDER BY 1)
  FROM syncline.tables s JOIN pg_class c ON c.oid = s.relid::oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE s.n = ANY ($1);

-- name: as they are
-- Of the tracked tables $1 by number: schema and name as they are now, the columns' numbers by attnum, their names by
-- attnum, the foreign keys and computed columns. And of those among $2: whether triggers of the user's run for each row before it is inserted, also into
-- one partition, or before it is updated, whether there are any triggers, rules or functions of his at all, whether defaults,
-- checks, indexes or domains call functions of his, the columns of base types and domains over them, each with its
-- base type, modifier (-1: neither length nor precision) and both as they are written, and the columns by whose
-- collation different texts are equal.
SELECT s.n, n.nspname::text, c.relname::text, s.columns,
       (SELECT coalesce(json_object_agg(a.attnum, a.attname), '{}') FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       ARRAY(SELECT g.tgconstraint::int8 FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgconstraint <> 0 UNION ALL
             SELECT -a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND (a.attgenerated <> '' OR a.attidentity <> '') ORDER BY 1),
       facts.*
  FROM syncline.tables s JOIN pg_class c ON c.oid = s.relid::oid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
SELECT coalesce(t.guarded, false) AS guarded, coalesce(t.altering, false) AS altering,
       coalesce(t.triggered, false) OR c.relhasrules OR f.nested AS triggered, f.nested, t.captured,
       coalesce((
           WITH RECURSIVE resolved AS (
               SELECT a.attname, a.atttypmod AS modifier, t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod
                 FROM pg_attribute a, LATERAL (SELECT * FROM pg_type WHERE oid = a.atttypid OFFSET 0) t
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               UNION ALL
               SELECT r.attname, CASE WHEN r.typtypmod >= 0 THEN r.typtypmod ELSE r.modifier END,
                      t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod
                 FROM resolved r, LATERAL (SELECT * FROM pg_type WHERE oid = r.typbasetype OFFSET 0) t
                WHERE r.typtype = 'd')
           SELECT json_object_agg(attname, json_build_array(typname, modifier, format_type(oid, modifier)))
             FROM resolved WHERE typtype = 'b'), '{}') AS types,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0
                AND NOT (SELECT collisdeterministic FROM pg_collation WHERE oid = a.attcollation)
              ORDER BY a.attnum) AS loose,
       coalesce((
           SELECT min(q.seqrelid::int8)
             FROM pg_index i
             JOIN LATERAL {{sequences c.oid, i.indkey[0]}} behind ON true
             JOIN pg_sequence q ON q.seqrelid = behind.oid AND q.seqincrement = 1
            WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1), 0) AS counter
  FROM (
       SELECT bool_or(t.tgtype::int & 7 = 7) AS guarded, bool_or(t.tgtype::int & 19 = 19) AS altering,
              bool_or(NOT t.tgisinternal AND NOT {{ours t}}) AS triggered,
              count(*) FILTER (WHERE t.tgrelid = c.oid AND t.tgname LIKE 'syncline\_%' AND t.tgenabled = 'A' AND {{ours t}}) >= 5 AS captured
         FROM pg_trigger t
        WHERE (t.tgrelid = c.oid OR t.tgrelid IN (SELECT relid FROM {{partitions c.oid}} AS below)) AND t.tgenabled <> 'D'
       ) t
 CROSS JOIN LATERAL (
       WITH RECURSIVE parts AS MATERIALIZED (
           SELECT c.oid UNION SELECT relid FROM {{partitions c.oid}} AS below
       ), types AS MATERIALIZED (
           SELECT a.atttypid AS oid FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           UNION
           SELECT d.oid FROM types t, LATERAL (SELECT typbasetype AS oid FROM pg_type WHERE oid = t.oid AND typtype = 'd' OFFSET 0) d
       ), code AS (
           SELECT 'pg_attrdef'::regclass AS class, d.oid FROM parts p, LATERAL (SELECT oid FROM pg_attrdef WHERE adrelid = p.oid OFFSET 0) d
           UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM parts p, LATERAL (SELECT indexrelid FROM pg_index WHERE indrelid = p.oid OFFSET 0) i
           UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM parts p, LATERAL (SELECT oid FROM pg_constraint WHERE conrelid = p.oid OFFSET 0) k
           UNION ALL SELECT 'pg_type'::regclass, oid FROM types UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM types t, LATERAL (SELECT oid FROM pg_constraint WHERE contypid = t.oid AND t.oid <> 0 OFFSET 0) k
       )
       SELECT EXISTS (SELECT FROM code, LATERAL (
                  SELECT FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid AND p.provolatile <> 'i'
                         JOIN pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
                   WHERE d.classid = code.class AND d.objid = code.oid AND d.refclassid = 'pg_proc'::regclass OFFSET 0) found) AS nested
       ) f
 WHERE s.n = ANY ($2)
       ) AS facts ON true
 WHERE s.n = ANY ($1);

-- name: placement
-- What PostgreSQL knows a table and its columns by: its oid, and each column's attnum and type by name; the labels
-- of enums in it (as such, in domains, in arrays) by their oids. Whether it is partitioned, or filled by a logical replication; its partitions; and of
-- each its oid with the transaction that attached it.
SELECT c.oid::int8,
       (SELECT json_object_agg(a.attname, json_build_array(a.attnum, a.atttypid::int8))
          FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT coalesce(json_object_agg(DISTINCT e.oid, e.enumlabel::text), '{}')
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          JOIN pg_enum e ON e.enumtypid IN (t.oid, t.typelem, t.typbasetype)
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       c.relkind = 'p' OR EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = c.oid),
       ARRAY(SELECT n.nspname::text || E'\n' || p.relname::text FROM {{partitions c.oid}} x
               JOIN pg_class p ON p.oid = x.relid JOIN pg_namespace n ON n.oid = p.relnamespace
              WHERE x.level > 0 ORDER BY 1),
       ARRAY(SELECT i.inhrelid || ' since ' || i.xmin FROM {{partitions c.oid}} x JOIN pg_inherits i ON i.inhrelid = x.relid
              WHERE x.level > 0 ORDER BY 1)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2;

-- name: uncaptured
-- Tables that take part without all of our triggers: the one of the recorded name, or else the one that was recorded.
SELECT s.central_schema || '.' || s.central_name
  FROM syncline.tables s JOIN pg_class c ON c.oid = coalesce((SELECT n.oid FROM pg_class n JOIN pg_namespace o ON o.oid = n.relnamespace
                                        WHERE o.nspname = s.central_schema AND n.relname = s.central_name), s.relid::oid)
 WHERE (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A'
           AND t.tgname ~ ('^syncline_(insert|update|inner_update|delete|truncate)_' || s.n || '$') AND {{ours t}}) < 5
 ORDER BY s.n;

-- name: relids
-- The oids of a tracked table and its partitions.
SELECT ARRAY(SELECT relid FROM syncline.tables WHERE n = $1 UNION SELECT p.relid::int8 FROM syncline.tables t, LATERAL {{partitions t.relid::oid}} p WHERE t.n = $1);

-- name: astray
SELECT DISTINCT n FROM syncline.strays;

-- name: lock
SELECT pg_advisory_xact_lock(7310579412345);

-- name: revision
-- Changes whenever what a hub keeps in memory of the layout is no longer true.
SELECT hub || '/' || fingerprint || '/' || kept_old FROM syncline.state;

-- name: hold
-- No `prepare` can be under way while this transaction lasts, nor begin.
SELECT pg_advisory_xact_lock_shared(7310579412345);
