-- name: add_body
INSERT INTO _sync_body (body) VALUES (?)

-- name: add_chunk
-- Its body is the one just added.
INSERT INTO _sync_outbox_chunk (push, chunk, row_count, digest, body_id) VALUES (?, ?, ?, ?, last_insert_rowid())

-- name: drop_chunks
DELETE FROM _sync_outbox_chunk

-- name: sweep_bodies
DELETE FROM _sync_body
WHERE NOT EXISTS (SELECT 1 FROM _sync_outbox_chunk c WHERE c.body_id = _sync_body.id)
    AND NOT EXISTS (SELECT 1 FROM _sync_sent s WHERE s.body_id = _sync_body.id)
