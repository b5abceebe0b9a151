-- What a transaction reads besides the user's tables.

-- name: cluster
-- Where numbers of transactions mean the same: the cluster's data, its timeline, the database.
SELECT system_identifier::text || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/'
       || (SELECT oid::text FROM pg_database WHERE datname = current_database())
  FROM pg_control_system();

-- name: standby
SELECT pg_is_in_recovery();

-- name: client
SELECT replica, number, digest, verdict,
       to_char(last_push AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(last_pull AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), name, fingerprint,
       to_char(registered AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), watermark, revoked, forgotten,
       actor
  FROM syncline.clients WHERE replica = $1;

-- name: clients
SELECT replica, number, digest, ''::bytea,
       to_char(last_push AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(last_pull AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), name, fingerprint,
       to_char(registered AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), watermark, revoked, forgotten,
       actor
  FROM syncline.clients WHERE replica > $1 ORDER BY replica LIMIT $2;

-- name: conflicts
SELECT id, replica, push, open, data FROM syncline.conflicts
 WHERE ($1::text IS NULL OR replica = $1) AND (NOT $2::boolean OR open) AND id > $3
 ORDER BY id LIMIT $4;

-- name: estimate
-- Rows of each table as last counted by (auto)vacuum or ANALYZE; if it never was, as many as its size
-- suggests, and whether it is so small that it can be counted.
SELECT u.name, sum(CASE WHEN c.reltuples >= 0 AND c.relpages > 0 THEN c.reltuples::int8
                        ELSE pg_relation_size(c.oid) / 100 END)::int8,
       bool_and(pg_relation_size(c.oid) <= 1048576)
  FROM unnest($1::text[]) AS u(name)
  LEFT JOIN LATERAL pg_partition_tree(u.name::regclass) x ON x.isleaf
  JOIN pg_class c ON c.oid = coalesce(x.relid, u.name::regclass)
 GROUP BY 1;
