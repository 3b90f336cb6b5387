-- name: timeout
PRAGMA busy_timeout;

-- name: restart
PRAGMA wal_checkpoint(RESTART);

-- name: truncate
PRAGMA wal_checkpoint(TRUNCATE);
