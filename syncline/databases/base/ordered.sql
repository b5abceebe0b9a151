-- The statements of a log that stands in one table (see `logtable`), spelled as those of the ledger.

-- name: newest
-- The newest entry, be it pruned or compacted away: its number, and what tells it from any other.
SELECT seq, nonce FROM (
    SELECT seq, nonce FROM (SELECT seq, nonce FROM {log} ORDER BY seq DESC {page}) entries
    UNION ALL SELECT seq, nonce FROM (SELECT seq, mark nonce FROM {mark} ORDER BY seq DESC {page}) marks
) ends ORDER BY seq DESC {page};

-- name: end
SELECT coalesce(max(seq), 0) FROM {log};

-- name: bounds
SELECT floor, floor_hlc, lost FROM {state};

-- name: progress
SELECT floor, compacted FROM {state};

-- name: mark
SELECT nonce FROM {log} WHERE seq = ? UNION ALL SELECT mark FROM {mark} WHERE seq = ?;

-- name: keep mark
INSERT INTO {mark} SELECT seq, nonce FROM {log} WHERE seq = ?;

-- name: drop entry
DELETE FROM {log} WHERE seq = ?;

-- name: oldest
SELECT seq FROM {log} WHERE seq <= ? ORDER BY seq {page};

-- name: highest
SELECT max(hlc) FROM {log} WHERE seq <= ?;

-- name: raise floor
UPDATE {state} SET floor = ?, floor_hlc = CASE WHEN floor_hlc < ? THEN ? ELSE floor_hlc END,
       compacted = CASE WHEN compacted < ? THEN ? ELSE compacted END;

-- name: drop entries
DELETE FROM {log} WHERE seq < ?;

-- name: drop marks
DELETE FROM {mark} WHERE seq < ?;

-- name: behind
SELECT count(*) FROM (SELECT seq FROM {log} WHERE seq > ? ORDER BY seq {page}) since;

-- name: others
-- An entry above a number, of a table, of another origin.
SELECT seq FROM {log} WHERE seq > ? AND tbl = ? AND origin <> ? ORDER BY seq {page};

-- name: last of each
SELECT tbl, origin, max(seq) FROM {log} WHERE seq > ? GROUP BY tbl, origin;

-- name: passed
-- The next entries between two numbers: how many there are, and the last.
SELECT count(*), max(seq) FROM (SELECT seq FROM {log} WHERE seq > ? AND seq < ? ORDER BY seq {page}) passed;

-- name: keep mark of one
INSERT INTO {mark} SELECT seq, nonce FROM {log} WHERE seq = ? AND nonce = ?;

-- name: drop one
DELETE FROM {log} WHERE seq = ? AND nonce = ?;

-- name: compacted
UPDATE {state} SET compacted = ? WHERE compacted < ?;

-- name: first state
INSERT INTO {state} (layout, hub, clock, fingerprint, kept_old, pruned, floor, floor_hlc, compacted, lost)
VALUES (?, ?, 0, '', '', 0, 0, 0, 0, 0);

-- name: lost number
INSERT INTO {log} (tbl, op, hlc, origin) VALUES (0, 'U', 0, '');

-- name: lost
UPDATE {state} SET lost = (SELECT max(seq) FROM {log}), floor_hlc = CASE WHEN floor_hlc < clock THEN clock ELSE floor_hlc END;

-- name: keep mark of lost
INSERT INTO {mark} SELECT l.seq, l.nonce FROM {log} l JOIN {state} h ON l.seq = h.lost;

-- name: drop lost
DELETE FROM {log} WHERE seq = (SELECT lost FROM {state});
