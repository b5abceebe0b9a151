-- name: keep
-- The push in flight, as taken; refused: what of it was rejected. A large one by its chunks, unless all of them
-- are more bytes than are kept.
WITH part (n, digest, body_id, body) AS (
    SELECT 0, digest, NULL, body FROM _sync_outbox WHERE NOT EXISTS (SELECT 1 FROM _sync_outbox_chunk)
    UNION ALL
    SELECT chunk, digest, body_id, NULL FROM _sync_outbox_chunk
    WHERE (SELECT sum(length(b.body)) FROM _sync_outbox_chunk c JOIN _sync_body b ON b.id = c.body_id) <= :largest
)
INSERT INTO _sync_sent
    (number, part, at, made, fingerprint, refused, stamps, marks, imprint, bases, horizon, digest, body_id, body)
SELECT (SELECT max(0, coalesce(max(number), 0)) + 1 FROM _sync_sent), p.n, strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now')), :made, o.fingerprint, :refused,
    CASE WHEN p.n < 2 THEN :stamps END, CASE WHEN p.n < 2 THEN :marks END, CASE WHEN p.n < 2 THEN :imprint END, o.bases, :horizon, p.digest, p.body_id, p.body
FROM _sync_outbox o, part p

-- name: size
-- Bytes of the push in flight.
SELECT coalesce((SELECT length(body) FROM _sync_outbox), 0)
    + coalesce((SELECT sum(length(b.body)) FROM _sync_outbox_chunk c JOIN _sync_body b ON b.id = c.body_id), 0)

-- name: drop_old
DELETE FROM _sync_sent
WHERE again = 0 AND at < strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') - ? / 86400.0)

-- name: drop_large
-- The oldest, beyond so many bytes, each with all its parts. The length of a blob is read without the blob.
DELETE FROM _sync_sent WHERE again = 0 AND number IN (
    SELECT number FROM (
        SELECT s.number, sum(coalesce(length(s.body), length(b.body)))
            OVER (ORDER BY s.number DESC, s.part DESC) AS bytes
        FROM _sync_sent s LEFT JOIN _sync_body b ON b.id = s.body_id
    ) WHERE bytes > ?
)

-- name: place
-- Pushes that were taken with a pull: their position is where that led.
UPDATE _sync_sent SET horizon = ? WHERE horizon IS NULL

-- name: kept
-- The kept pushes with their positions, newest first.
SELECT number, horizon, imprint, made FROM _sync_sent
WHERE again = 0 AND length(stamps) >= 8 AND horizon <> '' ORDER BY number DESC LIMIT ?

-- name: stamps
SELECT stamps FROM _sync_sent WHERE number = ? AND stamps IS NOT NULL

-- name: marks
SELECT stamps, marks FROM _sync_sent WHERE number = ? AND stamps IS NOT NULL

-- name: tell
-- These are the stamps that it tells, if it is offered again.
UPDATE _sync_sent SET stamps = ?, marks = ? WHERE number = ? AND part < 2

-- name: split
-- A push of its own with some of its rows, as it will not tell the stamps of the others.
INSERT INTO _sync_sent
    (number, part, at, made, again, fingerprint, refused, stamps, marks, imprint, bases, horizon, digest, body_id, body)
SELECT (SELECT max(0, max(number)) + 1 FROM _sync_sent), part, at, made, 0, fingerprint, refused, stamps, marks, imprint, bases,
    horizon, digest, body_id, body
FROM _sync_sent WHERE number = ?

-- name: newest
SELECT max(number) FROM _sync_sent

-- name: schemas
SELECT DISTINCT fingerprint FROM _sync_sent WHERE fingerprint IS NOT NULL LIMIT 9000

-- name: bases
SELECT bases FROM _sync_sent WHERE part < 2 ORDER BY number DESC LIMIT ?

-- name: waiting
SELECT DISTINCT number FROM _sync_sent WHERE again = 1 ORDER BY number DESC

-- name: parts
SELECT number, part FROM _sync_sent WHERE number = ? ORDER BY part

-- name: made
SELECT made FROM _sync_sent WHERE number = ?

-- name: lose
-- It waits to be offered again, under a number that says when: the highest first. All are below zero, where
-- no push that is taken has its number.
UPDATE _sync_sent SET again = 1, number = ? WHERE number = ?

-- name: found_again
UPDATE _sync_sent SET again = 0, horizon = :horizon, made = max(made, :made), imprint = coalesce(imprint, :imprint), number = CASE again
    WHEN 0 THEN number ELSE (SELECT max(0, max(number)) + 1 FROM _sync_sent) END
WHERE number = :number

-- name: refuse
UPDATE _sync_sent SET refused = ? WHERE number = ? AND part = ?

-- name: first_lost
SELECT max(number) FROM _sync_sent WHERE again = 1

-- name: lost
SELECT number, part FROM _sync_sent WHERE again = 1 ORDER BY number DESC, part

-- name: one
SELECT s.fingerprint, s.refused, s.bases, s.digest, coalesce(s.body, b.body)
FROM _sync_sent s LEFT JOIN _sync_body b ON b.id = s.body_id WHERE s.number = ? AND s.part = ?

-- name: forget
DELETE FROM _sync_sent WHERE number = ?

-- name: put_back
-- The push in flight was offered again, and the centre has lost it once more.
WITH part (n, digest, body_id, body) AS (
    SELECT 0, digest, NULL, body FROM _sync_outbox WHERE NOT EXISTS (SELECT 1 FROM _sync_outbox_chunk)
    UNION ALL
    SELECT chunk, digest, body_id, NULL FROM _sync_outbox_chunk
)
INSERT INTO _sync_sent (number, part, at, made, again, fingerprint, stamps, marks, bases, digest, body_id, body)
SELECT ?, p.n, o.frozen, o.made, 1, o.fingerprint, CASE WHEN p.n < 2 THEN o.stamps END,
    CASE WHEN p.n < 2 THEN o.marks END, o.bases, p.digest, p.body_id, p.body
FROM _sync_outbox o, part p
