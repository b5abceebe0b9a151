-- What can be wrong with the capture of a prepared database.

-- name: version
SELECT current_setting('server_version') || ', wal_level ' || current_setting('wal_level');

-- name: read only
-- Whether an operator has forbidden writes, beside what this transaction has chosen itself.
SELECT current_setting('default_transaction_read_only')::bool;

-- name: triggers
-- Our triggers that do not fire always.
SELECT t.tgrelid::regclass::text || '.' || t.tgname, t.tgenabled::text FROM pg_trigger t
 WHERE t.tgname ~ '^syncline_(insert|update|inner_update|delete|truncate)_[0-9]+$' AND t.tgenabled <> 'A' AND {{ours t}} ORDER BY 1;

-- name: subscriptions
-- Tables that a logical replication fills.
SELECT s.central_schema || '.' || s.central_name FROM syncline.tables s
  JOIN pg_namespace n ON n.nspname = s.central_schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.central_name
 WHERE EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srrelid = c.oid) ORDER BY 1;

-- name: log size
SELECT pg_size_pretty(coalesce(sum(pg_total_relation_size(c.oid)), 0)) FROM pg_class c
 WHERE c.relnamespace = 'syncline'::regnamespace AND c.relname ~ '^log_[0-9]+$';
