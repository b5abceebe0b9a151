-- name: triggers
-- The triggers of a table in the order of their making.
SELECT name, sql, rowid FROM sqlite_master
WHERE type = 'trigger' AND lower(tbl_name) = lower(?) ORDER BY rowid
