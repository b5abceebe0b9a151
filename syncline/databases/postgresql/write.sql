-- What a write transaction keeps besides the user's tables.

-- name: wait longer
-- $1 in milliseconds.
SELECT set_config('lock_timeout', $1, true);

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
