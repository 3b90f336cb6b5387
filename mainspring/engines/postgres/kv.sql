-- name: get
SELECT key, value, version, expires FROM mainspring.kv
WHERE key = ANY(%(keys)b::text[]) AND (expires IS NULL OR expires > %(wall)b::bigint);

-- Keys that are there, expired or not, in one order for all who lock several.
-- name: lock
SELECT key, version, expires FROM mainspring.kv
WHERE key = ANY(%b::text[]) ORDER BY key FOR UPDATE;

-- name: take_places
INSERT INTO mainspring.kv(key, version, value)
SELECT key, 0, '' FROM unnest(%b::text[]) key ON CONFLICT DO NOTHING;

-- The versions are drawn while all rows are locked: those of one key grow.
-- name: write
UPDATE mainspring.kv k
SET version = nextval('mainspring.versions'), expires = t.expires, value = t.value
FROM unnest(%b::text[], %b::bytea[], %b::bigint[]) t(key, value, expires)
WHERE k.key = t.key
RETURNING k.key, k.version;

-- name: touch
UPDATE mainspring.kv SET expires = %(end)b::bigint
WHERE key = ANY(%(keys)b::text[]) AND (expires IS NULL OR expires > %(wall)b::bigint)
RETURNING key;

-- name: delete
DELETE FROM mainspring.kv WHERE key = ANY(%b::text[]) RETURNING expires;

-- name: scan
SELECT key, value, version, expires FROM mainspring.kv
WHERE key >= %(least)b::text AND key <> %(after)b::text AND key < %(beyond)b::text
  AND (expires IS NULL OR expires > %(wall)b::bigint)
ORDER BY key LIMIT %(limit)b::bigint;

-- name: any_expired
SELECT EXISTS(SELECT 1 FROM mainspring.kv WHERE expires <= %b::bigint);

-- name: prune
DELETE FROM mainspring.kv WHERE key = ANY(ARRAY(
  SELECT key FROM mainspring.kv WHERE expires <= %b::bigint
  ORDER BY expires LIMIT %b::bigint FOR UPDATE SKIP LOCKED));
