-- name: keep
-- The push in flight, as taken; refused: what of it was rejected. A large one by its chunks, unless all of them
-- are more bytes than are kept.
WITH part (n, digest, body) AS (
    SELECT 0, digest, body FROM _sync_outbox WHERE NOT EXISTS (SELECT 1 FROM _sync_outbox_chunk)
    UNION ALL
    SELECT chunk, digest, body FROM _sync_outbox_chunk
    WHERE (SELECT sum(length(body)) FROM _sync_outbox_chunk) <= :largest
)
INSERT OR REPLACE INTO _sync_sent (number, part, at, fingerprint, refused, digest, body)
SELECT o.number, p.n, strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now')), s.fingerprint, :refused, p.digest, p.body
FROM _sync_outbox o, _sync_state s, part p

-- name: size
-- Bytes of the push in flight.
SELECT coalesce((SELECT length(body) FROM _sync_outbox), 0)
    + coalesce((SELECT sum(length(body)) FROM _sync_outbox_chunk), 0)

-- name: drop_old
DELETE FROM _sync_sent
WHERE again = 0 AND at < strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') - ? / 86400.0)

-- name: drop_large
-- The oldest, beyond so many bytes. The length of a blob is read without the blob.
DELETE FROM _sync_sent WHERE again = 0 AND (number, part) IN (
    SELECT number, part FROM (
        SELECT number, part, sum(length(body)) OVER (ORDER BY number DESC, part DESC) AS bytes FROM _sync_sent
    ) WHERE bytes > ?
)

-- name: lose
-- The centre has lost what was pushed after this number.
UPDATE _sync_sent SET again = 1 WHERE number > ?

-- name: count_lost
SELECT count(DISTINCT number) FROM _sync_sent WHERE again = 0 AND number > ?

-- name: next_lost
SELECT number, part, fingerprint, refused, digest, body
FROM _sync_sent WHERE again = 1 ORDER BY number, part LIMIT 1

-- name: later_lost
-- What waits behind the one that is being offered, in order.
SELECT number, part FROM _sync_sent WHERE again = 1 ORDER BY number, part

-- name: one
SELECT digest, body FROM _sync_sent WHERE number = ? AND part = ?

-- name: forget
DELETE FROM _sync_sent WHERE number = ? AND part = ?

-- name: put_back
-- The push in flight was offered again, and the centre has lost it once more.
INSERT INTO _sync_sent (number, part, at, again, fingerprint, digest, body)
SELECT o.number, 0, o.frozen, 1, s.fingerprint, o.digest, o.body FROM _sync_outbox o, _sync_state s

-- name: forget_all
DELETE FROM _sync_sent
