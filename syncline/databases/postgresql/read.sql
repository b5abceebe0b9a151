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
-- suggests, and whether it is so small that it can be counted.
SELECT u.name, sum(CASE WHEN c.reltuples >= 0 AND c.relpages > 0 THEN c.reltuples::int8
                        ELSE pg_relation_size(c.oid) / 100 END)::int8,
       bool_and(pg_relation_size(c.oid) <= 1048576)
  FROM unnest($1::text[]) AS u(name)
  LEFT JOIN LATERAL pg_partition_tree(u.name::regclass) x ON x.isleaf
  JOIN pg_class c ON c.oid = coalesce(x.relid, u.name::regclass)
 GROUP BY 1;
