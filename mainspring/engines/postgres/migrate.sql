-- name: look
SELECT EXISTS(
    SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'meta'
  ), EXISTS(SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename <> 'meta')
  OR EXISTS(SELECT 1 FROM pg_views WHERE schemaname = %s);

-- name: version
SELECT value FROM mainspring.meta WHERE name = 'version';

-- name: exists
SELECT 1 FROM pg_namespace WHERE nspname = %s;

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS mainspring.;

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
