-- name: outbox
-- The push in flight; how many chunks it has, and the rows in them; a small push has none.
SELECT number, digest, body, bases, fingerprint,
       (SELECT count(*) FROM _sync_outbox_chunk), (SELECT coalesce(sum(row_count), 0) FROM _sync_outbox_chunk)
FROM _sync_outbox

-- name: chunk_numbers
SELECT chunk FROM _sync_outbox_chunk ORDER BY chunk

-- name: chunk_digests
SELECT digest FROM _sync_outbox_chunk ORDER BY chunk

-- name: chunk
SELECT c.digest, b.body FROM _sync_outbox_chunk c JOIN _sync_body b ON b.id = c.body_id WHERE c.chunk = ?

-- name: aside
SELECT chunk FROM _sync_outbox_chunk WHERE chunk > ? ORDER BY chunk

-- name: renumber
UPDATE _sync_outbox_chunk SET chunk = ? WHERE push = ? AND chunk = ?

-- name: cuts
SELECT n, seq FROM _sync_outbox_cut

-- name: offered
-- What a push that is offered again tells of itself.
SELECT stamps, made FROM _sync_outbox

-- name: offered_marks
SELECT stamps, marks FROM _sync_outbox

-- name: offered_made
SELECT made FROM _sync_outbox

-- name: add_outbox
INSERT INTO _sync_outbox (number, digest, body, bases, frozen, fingerprint) VALUES (?, ?, ?, ?, ?, ?)

-- name: mark_offered
UPDATE _sync_outbox SET stamps = ?, marks = ?, made = ?

-- name: add_cut
INSERT INTO _sync_outbox_cut (n, seq) VALUES (?, ?)

-- name: watermarks
SELECT id, watermark FROM _sync_checkpoint

-- name: checkpoints
-- The newest watermarks that edits stand on.
SELECT watermark FROM _sync_checkpoint WHERE watermark <> '' ORDER BY id DESC LIMIT ?
