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

-- name: unique columns
-- The columns of the table's unique indexes and exclusion constraints, also those that an expression or a
-- condition of them reads, but the key's and those that others point at: index, name, whether it
-- may be NULL, whether it points at another table, the name of the type, or of its kind (domains resolved once), its length.
SELECT i.indexrelid::int8, a.attname::text, NOT a.attnotnull AND NOT t.typnotnull,
       EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = a.attrelid AND a.attnum = ANY (k.conkey)),
       CASE b.typtype WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange' ELSE b.typname::text END, a.atttypmod::int4
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
