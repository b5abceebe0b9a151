-- The ledger's statements, for every database: ? is a value, {table} a table of Syncline's, {now} the database's
-- time in milliseconds, {page} the end of a statement that gives at most ? rows, {texts} the texts of a list given as JSON.

-- name: identity
SELECT layout, hub, fingerprint FROM {state};

-- name: client
SELECT replica, push, digest, verdict, last_push, last_pull, name, fingerprint, registered, last_seen, watermark,
       revoked, forgotten, actor, pending, chain, root, departed, own, asked
  FROM {clients} WHERE replica = ?;

-- name: clients
-- Without the verdicts.
SELECT replica, push, digest, NULL, last_push, last_pull, name, fingerprint, registered, last_seen, watermark,
       revoked, forgotten, actor, pending, chain, root, departed, own, asked
  FROM {clients} WHERE replica > ? ORDER BY replica {page};

-- name: known clients
SELECT replica FROM {clients} WHERE replica IN {texts};

-- name: drop client
DELETE FROM {clients} WHERE replica = ?;

-- name: count clients
SELECT count(*) FROM {clients};

-- name: count owned
-- All; those of an owner that were never heard of again; those of an owner registered ? milliseconds ago or later.
SELECT count(*),
       coalesce(sum(CASE WHEN actor = ? AND last_push IS NULL AND last_pull IS NULL THEN 1 ELSE 0 END), 0),
       coalesce(sum(CASE WHEN actor = ? AND registered >= {now} - ? THEN 1 ELSE 0 END), 0)
  FROM {clients};

-- name: drop unused
-- But for ids from which another goes on. The number of the last push may be one that a file has brought along.
DELETE FROM {clients} WHERE last_push IS NULL AND last_pull IS NULL AND revoked = 0 AND registered < {now} - ?
   AND replica NOT IN (SELECT root FROM {clients});

-- name: stamps
-- Of lineages, a page at a time: after a lineage, a replica and a push.
SELECT lineage, replica, push, tails, rejected, made FROM {stamps}
 WHERE lineage IN {texts} AND (lineage, replica, push) > (?, ?, ?) ORDER BY lineage, replica, push {page};

-- name: remembered
-- Of which pushes there are stamps: of lineages, a page at a time, and how many bytes each takes. No stamp is read.
SELECT lineage, replica, push, made, coalesce(length(tails), 0) + coalesce(length(rejected), 0) FROM {stamps}
 WHERE lineage IN {texts} AND (lineage, replica, push) > (?, ?, ?) ORDER BY lineage, replica, push {page};

-- name: stamps of a push
SELECT tails, rejected, made FROM {stamps} WHERE lineage = ? AND replica = ? AND push = ?;

-- name: old stamps
SELECT made FROM {stamps} WHERE made < {now} - ? ORDER BY made {page};

-- name: told until
-- What files told of rejected edits has numbers below those of all pushes.
SELECT coalesce(sum(coalesce(length(tails), 0) + coalesce(length(rejected), 0)), 0) FROM {stamps}
 WHERE made <= ? AND push < 0;

-- name: told of
SELECT coalesce(sum(coalesce(length(tails), 0) + coalesce(length(rejected), 0)), 0) FROM {stamps}
 WHERE lineage = ? AND push < 0;

-- name: forget stamps
DELETE FROM {stamps} WHERE made <= ?;

-- name: claims
SELECT hlc, claim FROM {claims} WHERE origin = ? AND hlc >= ? AND hlc <= ?;

-- name: forget claims
DELETE FROM {claims} WHERE made < {now} - ?;

-- name: setting
SELECT content FROM {settings} WHERE name = ?;

-- name: one at a time
-- The row of the state is locked until the end.
UPDATE {state} SET pruned = pruned;

-- name: given
SELECT definition FROM {given} WHERE fingerprint = ?;

-- name: all given
SELECT fingerprint FROM {given};

-- name: old given
SELECT fingerprint FROM {given} WHERE made < {now} - ?;

-- name: forget given
DELETE FROM {given} WHERE fingerprint = ?;

-- name: conflicts
SELECT id, replica, push, unresolved, made, data FROM {conflicts} WHERE id > ? ORDER BY id {page};

-- name: open conflicts
SELECT id, replica, push, unresolved, made, data FROM {conflicts} WHERE unresolved = 1 AND id > ? ORDER BY id {page};

-- name: conflicts of one
SELECT id, replica, push, unresolved, made, data FROM {conflicts} WHERE replica = ? AND id > ? ORDER BY id {page};

-- name: open conflicts of one
SELECT id, replica, push, unresolved, made, data FROM {conflicts}
 WHERE replica = ? AND unresolved = 1 AND id > ? ORDER BY id {page};

-- name: save resolution
UPDATE {conflicts} SET unresolved = 0, data = ? WHERE id = ?;

-- name: old conflicts
-- Closed ones made ? milliseconds ago or earlier.
SELECT id FROM {conflicts} WHERE unresolved = 0 AND made < {now} - ? ORDER BY id {page};

-- name: drop conflicts
-- The closed ones among those up to an id that were made ? milliseconds ago or earlier.
DELETE FROM {conflicts} WHERE id <= ? AND unresolved = 0 AND made < {now} - ?;

-- name: count conflicts
SELECT count(*), coalesce(sum(unresolved), 0) FROM {conflicts};

-- name: forget upload
DELETE FROM {uploads} WHERE replica = ?;

-- name: forget chunks
-- Those after the second value.
DELETE FROM {chunks} WHERE replica = ? AND chunk > ?;

-- name: old uploads
SELECT replica FROM {uploads} WHERE begun < {now} - ?;

-- name: uploads size
SELECT coalesce(sum(octets), 0) FROM {chunks};

-- name: chunks kept
SELECT chunk, digest, octets FROM {chunks} WHERE replica = ? ORDER BY chunk;

-- name: chunk
SELECT digest, body, details FROM {chunks} WHERE replica = ? AND chunk = ?;

-- name: clock
SELECT clock, {now} FROM {state};

-- name: raise clock
-- Or lower it, if it is further ahead than it can be: the wall clock was wrong once.
UPDATE {state} SET clock = ? WHERE clock < ? OR clock > ({now} + ?) * 65536;

-- name: raise clock beside others
-- Nothing to do while the wall is ahead: writers need not wait for each other then.
UPDATE {state} SET clock = ? WHERE (clock < ? AND {now} * 65536 < ?) OR clock > ({now} + ?) * 65536;

-- name: take turn
UPDATE {state} SET pruned = {now} WHERE pruned <= {now} - ?;

-- name: newest place
SELECT max(place) FROM {moments};

-- name: place before
SELECT max(place) FROM {moments} WHERE noted <= {now} - ?;

-- name: forget moments
DELETE FROM {moments} WHERE place < ?;

-- name: version in force
SELECT v.body FROM {versions} v JOIN {state} s ON s.fingerprint = v.fingerprint;

-- name: versions
-- But for the one in force.
SELECT fingerprint FROM {versions} WHERE fingerprint NOT IN (SELECT fingerprint FROM {state});

-- name: use version
UPDATE {state} SET fingerprint = ? WHERE fingerprint <> ?;

-- name: forget version
DELETE FROM {versions} WHERE fingerprint = ?;

-- name: lines
SELECT n, relid, central_schema, central_name, columns, labels, log_key, words, capture, attached FROM {tables} ORDER BY n;

-- name: forget line
DELETE FROM {tables} WHERE n = ?;

-- name: kept old
-- Which columns keep their old values.
SELECT kept_old FROM {state};

-- name: keep old
UPDATE {state} SET kept_old = ?;
