-- What a write transaction keeps besides the user's tables.

-- name: lock client
SELECT replica, number, digest, verdict,
       to_char(last_push AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(last_pull AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), name, fingerprint,
       to_char(registered AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), watermark, revoked, forgotten,
       actor
  FROM syncline.clients WHERE replica = $1 FOR UPDATE;

-- name: save client
-- 'now' is a time that PostgreSQL knows: that of the transaction.
INSERT INTO syncline.clients (replica, number, digest, verdict, last_push, last_pull, name, fingerprint,
                              registered, last_seen, watermark, revoked, forgotten, actor)
VALUES ($1, $2, $3, $4, $5::text::timestamptz, $6::text::timestamptz, $7, $8,
        $9::text::timestamptz, $10::text::timestamptz, $11, $12, $13, $14)
    ON CONFLICT (replica) DO UPDATE SET number = excluded.number, digest = excluded.digest,
       verdict = excluded.verdict, last_push = excluded.last_push, last_pull = excluded.last_pull,
       name = excluded.name, fingerprint = excluded.fingerprint, registered = excluded.registered,
       last_seen = excluded.last_seen, watermark = excluded.watermark, revoked = excluded.revoked,
       forgotten = excluded.forgotten, actor = excluded.actor;

-- name: drop client
DELETE FROM syncline.clients WHERE replica = $1;

-- name: add conflicts
INSERT INTO syncline.conflicts (replica, push, open, data)
SELECT replica, push, open, data FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::text[]) WITH ORDINALITY AS c(replica, push, open, data, n)
 ORDER BY n RETURNING id;

-- name: lock conflict
SELECT id, replica, push, open, data FROM syncline.conflicts WHERE id = $1 FOR UPDATE;

-- name: save resolution
UPDATE syncline.conflicts SET open = false, data = $2 WHERE id = $1;

-- name: milliseconds
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- name: clock
SELECT greatest(clock, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint << 16) FROM syncline.state;

-- name: raise clock
-- Nothing to do while the wall is ahead: writers need not wait for each other then.
UPDATE syncline.state SET clock = $1
 WHERE clock < $1 AND $1 > floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint << 16;

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

-- name: lock upload
SELECT replica, number, digest, schema, chunks, rows, bases FROM syncline.uploads WHERE replica = $1 FOR UPDATE;

-- name: save upload
INSERT INTO syncline.uploads (replica, number, digest, schema, chunks, rows, bases)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (replica) DO UPDATE SET number = excluded.number, digest = excluded.digest, schema = excluded.schema,
    chunks = excluded.chunks, rows = excluded.rows, bases = excluded.bases, begun = excluded.begun;

-- name: forget chunks
-- Those after $2.
DELETE FROM syncline.chunks WHERE replica = $1 AND chunk > $2;

-- name: forget upload
DELETE FROM syncline.uploads WHERE replica = $1;

-- name: sweep uploads
-- $1 in seconds.
WITH gone AS (DELETE FROM syncline.uploads WHERE begun < now() - $1::float8 * interval '1 second' RETURNING replica)
DELETE FROM syncline.chunks WHERE replica IN (SELECT replica FROM gone);

-- name: save chunk
INSERT INTO syncline.chunks (replica, chunk, digest, body, details) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (replica, chunk) DO UPDATE SET digest = excluded.digest, body = excluded.body, details = excluded.details;

-- name: chunks kept
SELECT chunk, digest, length(body) + length(details) FROM syncline.chunks WHERE replica = $1 ORDER BY chunk;

-- name: uploaded chunk
SELECT digest, body, details FROM syncline.chunks WHERE replica = $1 AND chunk = $2;

-- name: hint
NOTIFY syncline;
