-- Pieces of the statements in the other files, where these say {{name argument}}.

-- name: partitions
-- Relid and level of a partitioned table, by its oid, and of all partitions below it. `pg_partition_tree` says the same,
-- but it locks each of them, and waits for whoever holds one. (Which are being detached is told since PostgreSQL 14.)
(WITH RECURSIVE tree (relid, level) AS (
    SELECT root.oid, 0 FROM pg_class root WHERE root.oid = {} AND root.relkind = 'p'
    UNION ALL
    SELECT i.inhrelid, t.level + 1 FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid
     WHERE (to_jsonb(i) ->> 'inhdetachpending') IS DISTINCT FROM 'true')
    SELECT t.relid, t.level FROM tree t);

-- name: ours
-- Whether a trigger calls a function of Syncline's: anybody's trigger may have a name like those of ours.
(SELECT pronamespace::regnamespace IS NOT DISTINCT FROM to_regnamespace('syncline') FROM pg_proc WHERE oid = {}.tgfoid);

-- name: sequences
-- The oids of what the first column of an index takes its numbers from, by the table's oid and the column's number.
(SELECT d.objid AS oid FROM pg_depend d
  WHERE d.refclassid = 'pg_class'::regclass AND (d.refobjid, d.refobjsubid) = ({})
    AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
 UNION
 SELECT d.refobjid FROM pg_attrdef a JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass
    AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
  WHERE (a.adrelid, a.adnum) = ({}));
