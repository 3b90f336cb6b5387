-- name: dirty
SELECT relname::text FROM pg_stat_user_tables
WHERE schemaname = %s AND n_dead_tup > %b::int
  AND relname = ANY(%s::text[]);

-- name: vacuum_ready
VACUUM (SKIP_LOCKED, TRUNCATE false) mainspring.ready;

-- name: vacuum_running
VACUUM (SKIP_LOCKED, TRUNCATE false) mainspring.running;

-- name: vacuum_granted
VACUUM (SKIP_LOCKED, TRUNCATE false) mainspring.granted;

-- name: vacuum_meter
VACUUM (SKIP_LOCKED, TRUNCATE false) mainspring.meter;

-- name: vacuum_later
VACUUM (SKIP_LOCKED, TRUNCATE false) mainspring.later;
