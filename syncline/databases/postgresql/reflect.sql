-- What PostgreSQL's catalogue says about the user's tables. Run with search_path = pg_catalog, so that
-- format_type and pg_get_expr qualify everything else. $1: oids of the tables.

-- name: tables
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relispartition,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid AND c.relkind <> 'p'
                                            OR i.inhrelid = c.oid AND NOT c.relispartition),
       row_security_active(c.oid),
       array_position(current_schemas_wanted.list, n.nspname::text),
       (SELECT min(t.tgname::text) FROM pg_trigger t WHERE t.tgname ~ '^syncline_(insert|update|inner_update|delete|truncate)_[0-9]+$' AND NOT {{ours t}}
           AND (t.tgrelid = c.oid OR t.tgrelid IN (SELECT relid FROM {{partitions c.oid}} AS below)))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN (SELECT $1::text[] AS list) AS current_schemas_wanted
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'syncline')
   AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp\_%'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 2, 3;

-- name: columns
-- Domains are resolved to the type they stand on, through any number of them, also as elements of arrays. The
-- elements of an array of arrays (through a domain) are said to be composite.
WITH RECURSIVE resolved AS (
    SELECT a.attrelid, a.attnum, a.atttypid AS type, a.atttypmod AS typmod, a.attnotnull AS notnull,
           NULL::text COLLATE "C" AS standard
      FROM pg_attribute a
     WHERE a.attrelid = ANY ($1::int8[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT r.attrelid, r.attnum, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE r.typmod END,
           r.notnull OR t.typnotnull, coalesce(r.standard, pg_get_expr(t.typdefaultbin, 0)) COLLATE "C"
      FROM resolved r JOIN pg_type t ON t.oid = r.type
     WHERE t.typtype = 'd'
)
SELECT a.attrelid::int8, a.attnum::int4, a.attname::text, format_type(t.oid, -1), t.typname::text, t.typtype::text,
       e.typname::text, CASE WHEN e.typcategory = 'A' THEN 'c' ELSE e.typtype::text END, r.typmod::int4, r.notnull, a.attidentity::text, a.attgenerated::text,
       CASE WHEN a.attgenerated = '' THEN coalesce(pg_get_expr(d.adbin, d.adrelid), r.standard) END,
       CASE WHEN t.oid >= 16384 THEN t.oid::int8 END, ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid IN (t.oid, e.oid) ORDER BY enumsortorder)
  FROM resolved r
  JOIN pg_type t ON t.oid = r.type AND t.typtype <> 'd'
  JOIN pg_attribute a ON a.attrelid = r.attrelid AND a.attnum = r.attnum
  LEFT JOIN LATERAL (
           WITH RECURSIVE element AS (
               SELECT e.* FROM pg_type e WHERE t.typcategory = 'A' AND e.oid = t.typelem
               UNION ALL
               SELECT b.* FROM element e JOIN pg_type b ON e.typtype = 'd' AND b.oid = e.typbasetype)
           SELECT oid, typname, typtype, typcategory FROM element WHERE typtype <> 'd') AS e ON true
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 ORDER BY 1, 2;

-- name: keys
-- Primary keys, and unique indexes that are whole, immediate and on columns alone.
SELECT i.indrelid::int8, i.indisprimary,
       ARRAY(SELECT k::int4 FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u(k, n) WHERE n <= i.indnkeyatts ORDER BY n)
  FROM pg_index i
 WHERE i.indrelid = ANY ($1::int8[]::oid[]) AND i.indisvalid
   AND (i.indisprimary OR i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL)
 ORDER BY 1, i.indexrelid;

-- name: foreign_keys
-- By to_jsonb, because the list of columns to set came with PostgreSQL 15.
SELECT k.conrelid::int8, k.confrelid::int8, k.conkey::int4[], k.confkey::int4[], a.words ->> k.confdeltype::text, a.words ->> k.confupdtype::text,
       k.condeferrable, k.convalidated, to_jsonb(k) ->> 'confdelsetcols' IS NOT NULL,
       EXISTS (SELECT FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation AND NOT l.collisdeterministic
                WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
                   OR a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)),
       k.conname::text, (SELECT n.nspname || '.' || p.relname FROM pg_class p JOIN pg_namespace n ON n.oid = p.relnamespace WHERE p.oid = k.confrelid)
  FROM pg_constraint k
 CROSS JOIN (SELECT json '{"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}') a (words)
 WHERE k.contype = 'f' AND k.conrelid = ANY ($1::int8[]::oid[]) AND k.conparentid = 0
 ORDER BY 1, k.conname;

-- name: kept keys
-- What tables that take part were prepared with for a key, by the names that all have now; and what each was called then.
SELECT n.nspname || '.' || c.relname,
       ARRAY(SELECT a.attname::text FROM json_array_elements(s.log_key::json) k
               JOIN json_each_text(s.columns::json) e ON e.value = k ->> 0
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = e.key::int AND NOT a.attisdropped),
       s.relid::int8, s.central_schema || '.' || s.central_name
  FROM syncline.tables s LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) ON c.oid = s.relid::oid;
