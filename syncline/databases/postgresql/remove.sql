-- What goes, and what would go with it, when Syncline is taken out of a database.

-- name: tables
SELECT central_schema, central_name FROM syncline.tables ORDER BY 1, 2;

-- name: dependents
-- Objects outside the schema that depend on something in it, but for our own triggers. A view depends
-- through its rule.
WITH ours AS (
    SELECT 'pg_class'::regclass AS classid, oid FROM pg_class WHERE relnamespace = 'syncline'::regnamespace
    UNION ALL
    SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'syncline'::regnamespace
    UNION ALL
    SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'syncline'::regnamespace
)
SELECT DISTINCT o.type || ' ' || o.identity
  FROM pg_depend d
  JOIN ours ON ours.classid = d.refclassid AND ours.oid = d.refobjid
  LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
 CROSS JOIN LATERAL (SELECT CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END,
                            coalesce(r.ev_class, d.objid), CASE WHEN r.oid IS NULL THEN d.objsubid ELSE 0 END
                    ) AS x(classid, objid, part)
 CROSS JOIN LATERAL pg_identify_object(x.classid, x.objid, x.part) AS o
 CROSS JOIN LATERAL pg_identify_object_as_address(x.classid, x.objid, x.part) AS a
 WHERE d.deptype IN ('n', 'a')
   AND a.object_names[1] <> 'syncline'
   AND (t.oid IS NULL OR t.tgname !~ '^syncline_(insert|update|inner_update|delete|truncate)_[0-9]+$')
 ORDER BY 1;
