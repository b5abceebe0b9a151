-- What pruning and compacting need besides the logs.

-- name: lock
-- One at a time. Who pushes does not wait for it.
SELECT pg_advisory_xact_lock(7310579412347);

-- name: floor
SELECT floor::text, floor_hlc FROM syncline.state;

-- name: unknown marks
SELECT e.xid, e.mark FROM unnest($1::bigint[], $2::bigint[]) AS e(xid, mark)
 WHERE NOT EXISTS (SELECT FROM syncline.marks AS m WHERE m.xid = e.xid::text::xid8 AND m.mark = e.mark);

-- name: progress
SELECT floor::text::int8, compacted::text::int8, compacted_seq FROM syncline.state;

-- name: ended
-- Every transaction below it has ended.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8;

-- name: forget marks
-- Those that prove no position but ones below the floor.
DELETE FROM syncline.marks WHERE ctid = ANY (ARRAY(
    SELECT m.ctid FROM syncline.marks AS m, syncline.state AS s
     WHERE m.xid < s.floor AND m.xid::text::int8 + 1 < s.floor::text::int8 AND pg_snapshot_xmax(m.seen) < s.floor
     ORDER BY m.xid LIMIT $1::bigint));

-- name: raise floor
UPDATE syncline.state SET floor = $1::xid8, floor_hlc = greatest(floor_hlc, $2);

-- name: compacted
UPDATE syncline.state SET compacted = $1::xid8, compacted_seq = $2;

-- name: cluster
SELECT cluster FROM syncline.state;

-- name: record cluster
UPDATE syncline.state SET cluster = $1;

-- name: begin anew
UPDATE syncline.state SET floor = '3', compacted = '3', compacted_seq = 0, lost = '0', floor_hlc = greatest(floor_hlc, clock, $1), clock = greatest(clock, $1);
