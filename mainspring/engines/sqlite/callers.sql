-- name: files
PRAGMA database_list;

-- name: no_checkpoint
PRAGMA wal_autocheckpoint = 0;

-- name: savepoint
SAVEPOINT mainspring;

-- name: undo
ROLLBACK TO mainspring;

-- name: release
RELEASE mainspring;

-- name: holds
SELECT 1 FROM running WHERE number = ? AND token = ?;

-- name: exists
SELECT 1 FROM job WHERE number = ?;
