-- What pruning and compacting need besides the logs.

-- name: lock
-- One at a time. Who pushes does not wait for it.
SELECT pg_advisory_xact_lock(7310579412347);

-- name: floor
SELECT floor::text, floor_hlc, (SELECT max(hlc) FROM syncline.marks WHERE xid = (floor::text::int8 - 1)::text::xid8)
  FROM syncline.state;

-- name: progress
SELECT floor::text::int8, compacted::text::int8, compacted_seq FROM syncline.state;

-- name: ended
-- Every transaction below it has ended.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8;

-- name: cut of marks
SELECT xid::text::int8, 0::int8 FROM syncline.marks ORDER BY xid OFFSET $1::int8 LIMIT 1;

-- name: forget marks
DELETE FROM syncline.marks WHERE xid < $1::xid8;

-- name: mark floor
INSERT INTO syncline.marks VALUES ($1::xid8, $2);

-- name: raise floor
UPDATE syncline.state SET floor = $1::xid8, floor_hlc = greatest(floor_hlc, $2);

-- name: compacted
UPDATE syncline.state SET compacted = $1::xid8, compacted_seq = $2;

-- name: cluster
SELECT cluster FROM syncline.state;

-- name: first cluster
UPDATE syncline.state SET cluster = $1 WHERE cluster = '';

-- name: record cluster
UPDATE syncline.state SET cluster = $1;

-- name: begin anew
UPDATE syncline.state SET floor = '3', compacted = '3', compacted_seq = 0, lost = '0', floor_hlc = greatest(floor_hlc, clock, $1), clock = greatest(clock, $1);
