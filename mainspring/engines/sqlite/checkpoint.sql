-- name: timeout
PRAGMA busy_timeout;

-- name: no_wait
PRAGMA busy_timeout = 0;

-- name: restart
PRAGMA wal_checkpoint(RESTART);

-- name: truncate
PRAGMA wal_checkpoint(TRUNCATE);
