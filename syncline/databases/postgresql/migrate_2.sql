-- From layout 1 to 2: what is pruned, the registry of replicas, and large pushes.

-- name: state
ALTER TABLE syncline.state
    ADD COLUMN cluster text NOT NULL DEFAULT '',
    ADD COLUMN floor xid8 NOT NULL DEFAULT '3',
    ADD COLUMN floor_hlc bigint NOT NULL DEFAULT 0,
    ADD COLUMN compacted xid8 NOT NULL DEFAULT '3',
    ADD COLUMN pruned timestamptz NOT NULL DEFAULT '-infinity';

-- name: marks
CREATE TABLE syncline.marks (xid xid8 NOT NULL, hlc bigint NOT NULL);

-- name: marks by xid
CREATE INDEX marks_by_xid ON syncline.marks (xid);

-- name: moments
CREATE TABLE syncline.moments (at timestamptz PRIMARY KEY, xid xid8 NOT NULL);

-- name: clients
ALTER TABLE syncline.clients
    ADD COLUMN name text NOT NULL DEFAULT '',
    ADD COLUMN fingerprint text NOT NULL DEFAULT '',
    ADD COLUMN registered timestamptz,
    ADD COLUMN last_seen timestamptz,
    ADD COLUMN watermark text NOT NULL DEFAULT '',
    ADD COLUMN revoked boolean NOT NULL DEFAULT false,
    ADD COLUMN forgotten boolean NOT NULL DEFAULT false;

-- name: seen
UPDATE syncline.clients SET last_seen = greatest(last_push, last_pull);

-- name: uploads
-- Large pushes on their way, one a replica. What a crash loses is sent again.
CREATE UNLOGGED TABLE syncline.uploads (
    replica text PRIMARY KEY,
    number bigint NOT NULL,
    digest text NOT NULL,
    schema text NOT NULL,
    chunks int NOT NULL,
    rows bigint NOT NULL,
    bases text NOT NULL,
    begun timestamptz NOT NULL DEFAULT now()
);

-- name: chunks
CREATE UNLOGGED TABLE syncline.chunks (
    replica text NOT NULL,
    chunk int NOT NULL,
    digest text NOT NULL,
    details bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (replica, chunk)
);

-- name: chunks as they are
-- They were sent compressed if that was worth it: do not try again.
ALTER TABLE syncline.chunks ALTER COLUMN body SET STORAGE EXTERNAL;

-- name: layout
UPDATE syncline.state SET layout = 2;
