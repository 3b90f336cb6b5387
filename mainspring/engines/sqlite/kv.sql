-- name: heads
SELECT k.key, k.version FROM json_each(:keys) e CROSS JOIN kv k ON k.key = e.value
WHERE k.expires IS NULL OR k.expires > :wall;

-- name: get
SELECT k.key, k.value, k.version, k.expires FROM json_each(:keys) e
CROSS JOIN kv k ON k.key = e.value
WHERE k.expires IS NULL OR k.expires > :wall;

-- name: versions
UPDATE meter SET n = n + ? WHERE queue = 0 AND state = 1 RETURNING n;

-- name: write
INSERT INTO kv(key, value, version, expires) VALUES(?, ?, ?, ?)
ON CONFLICT(key) DO UPDATE
SET value = excluded.value, version = excluded.version, expires = excluded.expires;

-- name: touch
UPDATE kv SET expires = :end
WHERE key IN (SELECT value FROM json_each(:keys)) AND (expires IS NULL OR expires > :wall)
RETURNING key;

-- name: delete
DELETE FROM kv WHERE key IN (SELECT value FROM json_each(?)) RETURNING expires;

-- name: scan
SELECT key, value, version, expires FROM kv
WHERE key >= :least AND key <> :after AND key < :beyond
  AND (expires IS NULL OR expires > :wall)
ORDER BY key LIMIT :limit;

-- name: any_expired
SELECT EXISTS(SELECT 1 FROM kv WHERE expires <= ?);

-- name: prune
DELETE FROM kv WHERE rowid IN (SELECT rowid FROM kv WHERE expires <= ? ORDER BY expires LIMIT ?);
