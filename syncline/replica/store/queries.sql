-- name: is_replica
-- 1 if Syncline's tables are in the file.
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sync_state'

-- name: create_state
-- The only row of the state, for a new replica id.
INSERT INTO _sync_state (id, format, replica) VALUES (1, ?, ?)

-- name: first_checkpoint
INSERT INTO _sync_checkpoint (id, watermark, hlc) VALUES (1, '', 0)

-- name: has_layout
-- 1 if the state says what layout the file has.
SELECT 1 FROM pragma_table_info('_sync_state') WHERE name = 'format'

-- name: layout
SELECT format FROM _sync_state WHERE id = 1

-- name: state
SELECT replica, hub_url, hub, suppressed, checkpoint, hlc, push, schema, fingerprint, watermark, limits,
       last_sync, hydrate, recovery, chain, horizon, former, carried, names, retired, chosen, local_rows,
       chunk_bytes, forms
FROM _sync_state WHERE id = 1

-- name: numbers
SELECT name, n FROM _sync_table ORDER BY n

-- name: add_number
INSERT INTO _sync_table (n, name) VALUES (?, ?) ON CONFLICT (n) DO UPDATE SET name = excluded.name

-- name: remove_number
DELETE FROM _sync_table WHERE n = ?

-- name: latest_checkpoint
SELECT id, watermark, hlc FROM _sync_checkpoint WHERE id = (SELECT checkpoint FROM _sync_state WHERE id = 1)

-- name: add_checkpoint
INSERT INTO _sync_checkpoint (watermark, hlc) VALUES (?, ?)

-- name: newest_checkpoint
SELECT max(id) FROM _sync_checkpoint

-- name: utc
-- The present time as ISO 8601 in UTC, from the one clock everything here uses.
SELECT strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now'))

-- name: logs
SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '_sync_log_[0-9]*' ORDER BY name

-- name: count_checkpoints
SELECT count(*) FROM _sync_checkpoint

-- name: standing
-- How the file stands with the hub.
SELECT s.replica, s.push, s.watermark, o.number, o.digest, (SELECT max(page) FROM _sync_stage), s.hydrate
FROM _sync_state s LEFT JOIN _sync_outbox o WHERE s.id = 1

-- name: references
-- The definitions of the tables that may have a foreign key.
SELECT sql FROM sqlite_master WHERE type = 'table' AND sql LIKE '%references%'

-- name: definition
-- The SQL of a table, index, trigger or view.
SELECT sql FROM sqlite_master WHERE type = ? AND lower(name) = lower(?)

-- name: triggers
-- The triggers of a table in the order of their making.
SELECT rowid, name, tbl_name, sql FROM sqlite_master
WHERE type = 'trigger' AND lower(tbl_name) = lower(?) ORDER BY rowid
