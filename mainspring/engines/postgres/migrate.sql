-- name: look
SELECT coalesce(bool_or(c.relname = %(prefix)s || 'meta' AND c.relkind = 'r'), false),
  coalesce(bool_or(c.relname <> %(prefix)s || 'meta'), false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND starts_with(c.relname::text, %(prefix)s);

-- name: version
SELECT value FROM mainspring.meta WHERE name = 'version';

-- name: exists
SELECT 1 FROM pg_namespace WHERE nspname = %s;

-- name: create_meta
CREATE TABLE IF NOT EXISTS mainspring.meta(name text PRIMARY KEY, value text NOT NULL);

-- name: identify
INSERT INTO mainspring.meta VALUES('store', %s) ON CONFLICT DO NOTHING;

-- name: lock
LOCK TABLE mainspring.meta IN EXCLUSIVE MODE;

-- name: set_version
INSERT INTO mainspring.meta VALUES('version', %s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: identity
SELECT value FROM mainspring.meta WHERE name = 'store';
