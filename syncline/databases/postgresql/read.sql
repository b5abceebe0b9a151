-- What a transaction reads besides the user's tables.

-- name: cluster
-- Where numbers of transactions mean the same: the cluster's data, its timeline, the database.
SELECT system_identifier::text || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/'
       || (SELECT oid::text FROM pg_database WHERE datname = current_database())
  FROM pg_control_system();

-- name: instant
-- Which transactions are visible, and to which run of which server.
SELECT pg_current_snapshot() || '/' || pg_postmaster_start_time();

-- name: path
-- The search path that this role has here, and the schemas of extensions behind it: who looks up the operators of
-- an extension's types must find them, wherever it was put.
SELECT concat_ws(', ', nullif(s.reset_val, ''), (SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ')
                                         FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname <> 'pg_catalog'))
  FROM pg_settings s WHERE s.name = 'search_path';

-- name: standby
SELECT pg_is_in_recovery();

-- name: estimate
-- Rows of each table as last counted by (auto)vacuum or ANALYZE; if it never was, as many as its size
-- suggests, and whether it is so small that it can be counted. Whoever asks for the size of a table that somebody holds
-- exclusively waits for him: such a one is left out.
WITH held AS MATERIALIZED (
    SELECT relation FROM pg_locks
     WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), parts AS MATERIALIZED (
    SELECT u.name, c.relkind = 'p' AS is_whole, c.reltuples, c.relpages, c.oid IN (SELECT relation FROM held) AS is_held,
           CASE WHEN c.oid NOT IN (SELECT relation FROM held) THEN pg_relation_size(c.oid) ELSE 0 END AS size
      FROM unnest($1::text[]) AS u(name) LEFT JOIN LATERAL {{partitions u.name::regclass}} x ON true
      JOIN pg_class c ON c.oid = coalesce(x.relid, u.name::regclass)
)
SELECT name, coalesce(sum(CASE WHEN reltuples >= 0 AND relpages > 0 THEN reltuples::int8 ELSE size / 100 END) FILTER (WHERE NOT is_whole), 0)::int8,
       bool_and(size <= 1048576 AND NOT is_held)
  FROM parts
 GROUP BY 1;
