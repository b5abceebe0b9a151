-- What the role that connects may not do, as statements that an owner or superuser can run.

-- name: database
SELECT format('GRANT %s ON DATABASE %I TO %I', w.word, current_database(), current_user)
  FROM (VALUES ('TEMPORARY', true), ('CREATE', to_regnamespace('syncline') IS NULL)) AS w(word, needed)
 WHERE w.needed AND NOT has_database_privilege(current_database(), w.word)
 ORDER BY 1;

-- name: own
-- Who owns the schema, and what is in it, need not be who prepares it later.
WITH own AS (
    SELECT 0 AS rank, 'SCHEMA syncline' AS what, nspowner AS owner FROM pg_namespace WHERE nspname = 'syncline'
    UNION ALL
    SELECT 1, CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END || format(' syncline.%I', c.relname), c.relowner
      FROM pg_class c WHERE c.relnamespace = to_regnamespace('syncline') AND c.relkind IN ('r', 'p', 'v', 'S')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S'
                          AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
    UNION ALL
    SELECT 2, 'FUNCTION ' || p.oid::regprocedure, p.proowner FROM pg_proc p WHERE p.pronamespace = to_regnamespace('syncline')
)
SELECT statement FROM (
SELECT DISTINCT CASE WHEN r.rolsuper THEN own.rank ELSE -1 END,
       CASE WHEN r.rolsuper THEN format('ALTER %s OWNER TO %I', own.what, current_user)
            ELSE format('GRANT %I TO %I', r.rolname, current_user) END
  FROM own JOIN pg_roles r ON r.oid = own.owner WHERE NOT pg_has_role(own.owner, 'USAGE')
) AS s(rank, statement) ORDER BY rank, statement;

-- name: tables
-- $1, $2: the schemas and names of the tables. Triggers that always fire, also on partitions, take an owner; an
-- owner may have taken rights from himself. To be a member of the role that owns the tables is enough, for all of them;
-- but nobody is made a member of a superuser.
WITH asked AS (
    SELECT n.oid AS schema, c.oid, c.relowner, n.nspname, c.relname FROM unnest($1::text[], $2::text[]) AS u(nspname, relname)
      JOIN pg_namespace n ON n.nspname = u.nspname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = u.relname
), parts AS (
    SELECT oid, relowner, nspname, relname FROM asked
    UNION
    SELECT p.oid, p.relowner, n.nspname, p.relname FROM asked, LATERAL {{partitions asked.oid}} x
      JOIN pg_class p ON p.oid = x.relid JOIN pg_namespace n ON n.oid = p.relnamespace
)
SELECT statement FROM (
SELECT 1, format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user) FROM asked
 WHERE NOT has_schema_privilege(schema, 'USAGE')
UNION
SELECT 0, CASE WHEN r.rolsuper THEN format('ALTER TABLE %I.%I OWNER TO %I', p.nspname, p.relname, current_user)
               ELSE format('GRANT %I TO %I', r.rolname, current_user) END
  FROM parts p JOIN pg_roles r ON r.oid = p.relowner
 WHERE NOT pg_has_role(p.relowner, 'USAGE')
UNION
SELECT 2, format('GRANT %s ON %I.%I TO %I', string_agg(w.word, ', ' ORDER BY w.n), nspname, relname, current_user)
  FROM parts, (VALUES (1, 'SELECT'), (2, 'INSERT'), (3, 'UPDATE'), (4, 'DELETE')) AS w(n, word)
 WHERE pg_has_role(relowner, 'USAGE') AND NOT has_table_privilege(oid, w.word)
 GROUP BY nspname, relname
) AS s(rank, statement) ORDER BY rank, statement;
