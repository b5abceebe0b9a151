-- What pruning and compacting need besides the logs.

-- name: lock
-- One at a time. Who pushes does not wait for it.
SELECT pg_advisory_xact_lock(7310579412347);

-- name: floor
SELECT floor::text, floor_hlc, (SELECT max(hlc) FROM syncline.marks WHERE xid = (floor::text::int8 - 1)::text::xid8)
  FROM syncline.state;

-- name: progress
SELECT floor::text::int8, compacted::text::int8 FROM syncline.state;

-- name: ended
-- Every transaction below it has ended.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8;

-- name: ended by
SELECT coalesce((SELECT xid::text::int8 FROM syncline.moments WHERE at <= now() - make_interval(secs => $1::float8)
                  ORDER BY at DESC LIMIT 1), 0);

-- name: note moment
INSERT INTO syncline.moments VALUES (now(), pg_snapshot_xmin(pg_current_snapshot())) ON CONFLICT DO NOTHING;

-- name: forget moments
DELETE FROM syncline.moments WHERE xid < (SELECT floor FROM syncline.state);

-- name: turn
UPDATE syncline.state SET pruned = now() WHERE pruned <= now() - make_interval(secs => $1::float8);

-- name: forget marks
DELETE FROM syncline.marks WHERE xid < $1::xid8;

-- name: mark floor
INSERT INTO syncline.marks VALUES ($1::xid8, $2);

-- name: raise floor
UPDATE syncline.state SET floor = $1::xid8, floor_hlc = greatest(floor_hlc, $2);

-- name: compacted
UPDATE syncline.state SET compacted = $1::xid8;

-- name: drop conflicts
DELETE FROM syncline.conflicts WHERE id IN (
    SELECT id FROM syncline.conflicts WHERE NOT open
       AND (data::json ->> 'at')::timestamptz < now() - make_interval(secs => $1::float8 * 86400)
     ORDER BY id LIMIT $2::bigint);

-- name: cluster
SELECT cluster FROM syncline.state;

-- name: first cluster
UPDATE syncline.state SET cluster = $1 WHERE cluster = '';

-- name: record cluster
UPDATE syncline.state SET cluster = $1;

-- name: begin anew
UPDATE syncline.state SET floor = '3', compacted = '3', floor_hlc = greatest(floor_hlc, clock, $1), clock = greatest(clock, $1);
