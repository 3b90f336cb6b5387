-- name: server
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
  current_setting('synchronous_commit'), current_setting('fsync'),
  current_setting('server_encoding'),
  extract(epoch FROM clock_timestamp())::float8,
  coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start))
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'),
    0)::float8,
  coalesce((SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mainspring.job'::regclass) AND c.relkind = 'r'), 0)::float8,
  coalesce((SELECT sum(n_dead_tup) FROM pg_stat_user_tables
    WHERE relid IN (SELECT oid FROM pg_class
      WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mainspring.job'::regclass))), 0)::float8,
  (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::int;
