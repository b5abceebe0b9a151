-- Sequences that give a table its keys.

-- name: last
-- The last number that a sequence gave; no row where there is none any more, or the role may not use it.
SELECT coalesce(pg_sequence_last_value(q.seqrelid), q.seqstart - 1)
  FROM pg_sequence q
 WHERE q.seqrelid = $1::int8::oid AND has_sequence_privilege(q.seqrelid, 'USAGE');

-- name: take
-- Take so many numbers.
SELECT count(nextval($1::int8::oid::regclass)) FROM generate_series(1::int8, $2::int8);

-- name: unfollowed
-- Of these tables (schemas, names): which have keys from a sequence that cannot follow; the sequence, how it counts.
SELECT n.nspname::text, c.relname::text, q.seqrelid::regclass::text, q.seqincrement
  FROM unnest($1::text[], $2::text[]) AS w (place, name)
  JOIN pg_namespace n ON n.nspname = w.place
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1
  JOIN LATERAL {{sequences c.oid, i.indkey[0]}} behind ON true
  JOIN pg_sequence q ON q.seqrelid = behind.oid
 WHERE q.seqincrement <> 1 OR NOT has_sequence_privilege(q.seqrelid, 'USAGE')
 ORDER BY 1, 2, 3;
