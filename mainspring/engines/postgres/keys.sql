-- name: patience
SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true);

-- name: reserve
INSERT INTO mainspring.ukey
SELECT key, NULL, 0 FROM unnest(%b::bytea[]) key ORDER BY key ON CONFLICT DO NOTHING;

-- name: holder
SELECT k.number, j.id, k.until, f.number IS NOT NULL
FROM mainspring.ukey k LEFT JOIN mainspring.job j ON j.number = k.number
LEFT JOIN mainspring.finished f ON f.number = k.number WHERE k.key = %b::bytea;

-- name: take_over
UPDATE mainspring.ukey SET number = NULL WHERE key = %b::bytea AND number = %b::bigint;

-- name: lock
SELECT 1 FROM mainspring.ukey WHERE key = %b::bytea AND number = %b::bigint FOR UPDATE;

-- name: clear
INSERT INTO mainspring.ukey VALUES(%b::bytea, NULL, 0)
ON CONFLICT (key) DO UPDATE SET number = NULL;

-- name: take
UPDATE mainspring.ukey k SET number = t.number, until = t.until
FROM unnest(%b::bytea[], %b::bigint[], %b::bigint[]) t(key, number, until) WHERE k.key = t.key;

-- name: lock_of
SELECT 1 FROM mainspring.ukey WHERE number = ANY(%b::bigint[]) ORDER BY key FOR UPDATE;
