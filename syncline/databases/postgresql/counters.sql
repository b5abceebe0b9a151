-- Sequences that give a table its keys.

-- name: last
-- The last number that a sequence gave; no row where there is none any more, or the role may not use it.
SELECT coalesce(pg_sequence_last_value(q.seqrelid), q.seqstart - 1)
  FROM pg_sequence q
 WHERE q.seqrelid = $1::int8::oid AND has_sequence_privilege(q.seqrelid, 'USAGE');

-- name: take
-- Take so many numbers.
SELECT count(nextval($1::int8::oid::regclass)) FROM generate_series(1::int8, $2::int8);
