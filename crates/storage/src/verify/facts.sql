WITH tables AS (
    SELECT pg_class.oid, pg_class.relname AS name,
           concat_ws(', ', CASE WHEN pg_class.relrowsecurity THEN 'ROW LEVEL SECURITY ENABLED' END,
                     CASE WHEN pg_class.relforcerowsecurity THEN 'FORCED' END) AS row_security
    FROM pg_catalog.pg_class
    WHERE pg_class.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
      AND pg_class.relkind IN ('r', 'p')
), facts AS (
    SELECT 'table' AS kind, name AS name, row_security AS definition FROM tables
    UNION ALL
    SELECT 'column', tables.name || '.' || attribute.attname,
           pg_catalog.format_type(attribute.atttypid, attribute.atttypmod)
           || CASE WHEN attribute.attnotnull THEN ' NOT NULL' ELSE '' END
           || CASE attribute.attidentity WHEN '' THEN '' ELSE ' IDENTITY' END
           || coalesce(' DEFAULT ' || pg_catalog.pg_get_expr(fallback.adbin, fallback.adrelid), '')
    FROM tables
    JOIN pg_catalog.pg_attribute attribute
      ON attribute.attrelid = tables.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef fallback
      ON fallback.adrelid = attribute.attrelid AND fallback.adnum = attribute.attnum
    UNION ALL
    SELECT 'constraint', tables.name || '.' || constraints.conname,
           pg_catalog.pg_get_constraintdef(constraints.oid)
    FROM tables JOIN pg_catalog.pg_constraint constraints ON constraints.conrelid = tables.oid
    UNION ALL
    SELECT 'index', indexes.relname, pg_catalog.pg_get_indexdef(indexes.oid)
    FROM tables
    JOIN pg_catalog.pg_index ON pg_index.indrelid = tables.oid
    JOIN pg_catalog.pg_class indexes ON indexes.oid = pg_index.indexrelid
    UNION ALL
    SELECT 'trigger', tables.name || '.' || triggers.tgname,
           pg_catalog.pg_get_triggerdef(triggers.oid)
           || CASE triggers.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' DISABLED'
                   WHEN 'R' THEN ' ENABLED REPLICA' ELSE ' ENABLED ALWAYS' END
    FROM tables
    -- The internal triggers of a foreign key have generated names, so they are listed only if disabled.
    JOIN pg_catalog.pg_trigger triggers
      ON triggers.tgrelid = tables.oid AND (NOT triggers.tgisinternal OR triggers.tgenabled <> 'O')
    UNION ALL
    SELECT 'rule', tables.name || '.' || rules.rulename,
           pg_catalog.pg_get_ruledef(rules.oid)
    FROM tables
    JOIN pg_catalog.pg_rewrite rules
      ON rules.ev_class = tables.oid AND rules.rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy', tables.name || '.' || policy.polname,
           concat_ws(' ', CASE WHEN policy.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                     policy.polcmd, 'TO', policy.polroles::pg_catalog.regrole[]::text,
                     'USING ' || pg_catalog.pg_get_expr(policy.polqual, policy.polrelid),
                     'WITH CHECK ' || pg_catalog.pg_get_expr(policy.polwithcheck, policy.polrelid))
    FROM tables JOIN pg_catalog.pg_policy policy ON policy.polrelid = tables.oid
    UNION ALL
    SELECT 'type', types.typname,
           'RANGE OF ' || pg_catalog.format_type(ranges.rngsubtype, NULL)
           || coalesce(' COLLATE ' || (SELECT collname FROM pg_catalog.pg_collation
                                       WHERE oid = ranges.rngcollation), '')
    FROM pg_catalog.pg_range ranges
    JOIN pg_catalog.pg_type types ON types.oid = ranges.rngtypid
    WHERE types.typnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
    UNION ALL
    SELECT 'function', functions.proname, pg_catalog.pg_get_functiondef(functions.oid)
    FROM pg_catalog.pg_proc functions
    WHERE functions.pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
      AND functions.prokind = 'f'
      -- Without the constructor functions of range types.
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                      WHERE pg_depend.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                        AND pg_depend.objid = functions.oid AND pg_depend.deptype = 'i')
)
SELECT kind::text AS kind, name::text AS name,
       replace(definition, $1 || '.', '')::text AS definition
FROM facts
