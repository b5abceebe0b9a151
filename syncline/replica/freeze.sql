-- name: outbox
-- The push in flight.
SELECT number, digest, body, bases FROM _sync_outbox

-- name: cuts
SELECT n, seq FROM _sync_outbox_cut

-- name: add_outbox
INSERT INTO _sync_outbox (number, digest, body, bases, frozen) VALUES (?, ?, ?, ?, ?)

-- name: add_cut
INSERT INTO _sync_outbox_cut (n, seq) VALUES (?, ?)

-- name: watermarks
SELECT id, watermark FROM _sync_checkpoint
