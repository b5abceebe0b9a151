-- Marks, which prove what a position has seen (see `position`).

-- name: marks
-- A random number each, committed before a position is given out that carries it: where it is, everything is that had
-- been committed at `seen`, and what its own transaction `xid` wrote. See `position`.
CREATE TABLE syncline.marks (xid xid8 NOT NULL, mark bigint NOT NULL, seen pg_snapshot NOT NULL);

-- name: marks by xid
CREATE INDEX marks_by_xid ON syncline.marks (xid);

-- name: marks can be published
-- A publication of all tables has deletes refused that it could not tell the rows of.
ALTER TABLE syncline.marks REPLICA IDENTITY FULL;
