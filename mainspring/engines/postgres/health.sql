-- name: server
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
  current_setting('synchronous_commit'), current_setting('fsync'),
  current_setting('server_encoding'),
  extract(epoch FROM clock_timestamp())::float8,
  coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start))
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'),
    0)::float8,
  coalesce(t.size, 0)::float8, coalesce(t.dead, 0)::float8,
  (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::int
FROM (
  SELECT sum(pg_total_relation_size(c.oid)) AS size, sum(s.n_dead_tup) AS dead
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_stat_user_tables s ON s.relid = c.oid
  WHERE n.nspname = %(schema)s AND starts_with(c.relname::text, %(prefix)s)
) t;
