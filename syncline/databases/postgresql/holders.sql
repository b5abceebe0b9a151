-- Who holds rows that others wait for.

-- name: of transactions
-- $1: numbers of transactions that hold a row. Of each that is open: who runs it, in words that are filled in elsewhere.
SELECT x.xid, l.pid, a.usename::text, a.application_name, host(a.client_addr), a.state,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8, p.gid
  FROM unnest($1::text[]) AS x(xid)
  JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = x.xid::xid AND l.granted
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_prepared_xacts p ON p.transaction::text = x.xid
 ORDER BY 7 DESC NULLS LAST;

-- name: members
-- $1: what stands in a row that several transactions hold.
SELECT xid::text FROM pg_get_multixact_members($1::xid);

-- name: of relations
-- $1: oids. Transactions that are open for more than $2 seconds and hold one of these tables by a lock of the modes $3:
-- the table, who it is as above, and the numbers by which they hold rows.
SELECT l.relation::int8, l.pid, a.usename::text, a.application_name, host(a.client_addr), a.state,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8, p.gid,
       ARRAY(SELECT t.transactionid::text FROM pg_locks t
              WHERE t.locktype = 'transactionid' AND t.virtualtransaction = l.virtualtransaction AND t.granted)
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_locks o ON l.pid IS NULL AND o.pid IS NULL AND o.locktype = 'transactionid'
                      AND o.virtualtransaction = l.virtualtransaction AND o.granted
  LEFT JOIN pg_prepared_xacts p ON p.transaction::text = o.transactionid::text
 WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation = ANY ($1::int8[]::oid[]) AND l.granted AND l.mode = ANY ($3::text[])
   AND l.pid IS DISTINCT FROM pg_backend_pid()
   AND clock_timestamp() - coalesce(a.xact_start, p.prepared) > make_interval(secs => $2)
 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, l.virtualtransaction
 ORDER BY 7 DESC NULLS LAST;

-- name: held
-- Tables that take part, and partitions of them (with $2: all of the user's), that others hold or wait for by a lock of the
-- modes $1: oid, name with and without its schema.
SELECT c.oid::int8, format('%I.%I', n.nspname, c.relname), c.relname::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid IN (SELECT l.relation FROM pg_locks l
                  WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND l.mode = ANY ($1::text[]) AND l.pid IS DISTINCT FROM pg_backend_pid())
   AND c.relkind IN ('r', 'p') AND (c.relispartition OR c.oid IN (SELECT relid::oid FROM syncline.tables)
        OR $2::bool AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'syncline'))
 ORDER BY 2;

-- name: barred
-- The foreign keys between the table with the oid $1 and another one that others hold or wait for, so that they cannot be
-- looked after: whether the table points there, its own columns, the other's oid and name.
SELECT DISTINCT k.outward, k.columns, k.other::int8, format('%I.%I', n.nspname, c.relname)
  FROM (SELECT true AS outward, x.confrelid AS other, x.conrelid AS own, x.conkey AS numbers, ARRAY['ExclusiveLock', 'AccessExclusiveLock'] AS modes
          FROM pg_constraint x WHERE x.contype = 'f' AND x.conrelid = $1::int8::oid AND x.confrelid <> x.conrelid
        UNION ALL
        SELECT false, x.conrelid, x.confrelid, x.confkey,
               ARRAY['ExclusiveLock', 'AccessExclusiveLock'] || CASE WHEN x.confdeltype IN ('a', 'r') THEN '{}' ELSE ARRAY['ShareLock', 'ShareRowExclusiveLock'] END
          FROM pg_constraint x WHERE x.contype = 'f' AND x.confrelid = $1::int8::oid AND x.confrelid <> x.conrelid) p
 CROSS JOIN LATERAL (SELECT p.*, ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = p.own AND a.attnum = ANY (p.numbers)) AS columns) k
  JOIN pg_class c ON c.oid = k.other JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE EXISTS (SELECT FROM pg_locks l
                WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND l.relation = k.other AND l.mode = ANY (k.modes) AND l.pid IS DISTINCT FROM pg_backend_pid());

-- name: tracked
-- The tables that take part, by oid, with the names of their keys' columns, and their partitions.
SELECT x.relid::int8, n.nspname::text, c.relname::text, s.n
  FROM syncline.tables s
 CROSS JOIN LATERAL (SELECT s.relid::oid UNION SELECT p.relid FROM {{partitions s.relid::oid}} p) x
  JOIN pg_class c ON c.oid = x.relid JOIN pg_namespace n ON n.oid = c.relnamespace;

-- name: oids
-- $1: names of tables.
SELECT ARRAY(SELECT to_regclass(p)::oid::int8 FROM unnest($1::text[]) p);
