-- name: inspect
SELECT
  (SELECT application_id FROM pragma_application_id),
  (SELECT user_version FROM pragma_user_version),
  (SELECT count(*) FROM sqlite_master);

-- name: journal
PRAGMA journal_mode;

-- name: use_log
PRAGMA journal_mode = WAL;

-- name: boot
SELECT value FROM meta WHERE name = 'boot';

-- name: set_boot
INSERT INTO meta VALUES('boot', ?) ON CONFLICT DO UPDATE SET value = excluded.value;

-- name: end_leases
UPDATE granted SET expires = 0;

-- name: end_workers
DELETE FROM worker;
