-- From layout 1 to 2: what is pruned, and the registry of replicas.

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

-- name: layout
UPDATE syncline.state SET layout = 2;
