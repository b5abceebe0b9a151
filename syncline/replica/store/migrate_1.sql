-- From layout 1 to layout 2: what layout.sql has more.

ALTER TABLE _sync_state ADD COLUMN recovery TEXT;

ALTER TABLE _sync_state ADD COLUMN covered INTEGER NOT NULL DEFAULT 0;

-- Pushes that the hub has taken, kept for a while: a centre that goes back in time is offered them again. A
-- large one is in parts, whose bodies are in _sync_body. refused: packed [[table position, key], ...] of what was
-- rejected, which is not offered again, or NULL. again = 1: the centre has lost it, and it waits to be sent. The
-- body stands last: the others are read without it.
CREATE TABLE _sync_sent (
    number      INTEGER NOT NULL,
    part        INTEGER NOT NULL DEFAULT 0,
    at          TEXT NOT NULL,
    again       INTEGER NOT NULL DEFAULT 0,
    fingerprint TEXT,
    refused     BLOB,
    digest      TEXT NOT NULL,
    body_id     INTEGER,
    body        BLOB,
    PRIMARY KEY (number, part),
    CHECK ((body_id IS NULL) <> (body IS NULL))
);

CREATE INDEX _sync_sent_body ON _sync_sent (body_id) WHERE body_id IS NOT NULL;

-- A push in flight that does not fit one request, chunk by chunk; the outbox has the digest of the whole
-- then, and an empty body. Goes with it, but for the bodies.
CREATE TABLE _sync_outbox_chunk (
    chunk     INTEGER PRIMARY KEY,
    push      INTEGER NOT NULL REFERENCES _sync_outbox (number) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    row_count INTEGER NOT NULL,
    digest    TEXT NOT NULL,
    body_id   INTEGER NOT NULL
);

-- The bodies of chunks, of the push in flight and of kept ones: each stands here once, as long as one of them
-- names it.
CREATE TABLE _sync_body (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);
