-- name: presence
SELECT body FROM mainspring.worker WHERE id = %s;

-- name: absent
DELETE FROM mainspring.worker WHERE id = %s;

-- name: present
INSERT INTO mainspring.worker VALUES(%s, %b::bigint, %b::bytea, NULL)
ON CONFLICT (id) DO UPDATE SET until = excluded.until, body = excluded.body
RETURNING wanted::text;

-- name: instruct
UPDATE mainspring.worker w SET wanted = coalesce(w.wanted, '{}') || %s::jsonb
FROM (
  SELECT id FROM mainspring.worker WHERE id = ANY(%b::text[]) ORDER BY id FOR UPDATE
) mine
WHERE w.id = mine.id RETURNING w.id;

-- name: unpark
UPDATE mainspring.later SET due = %(wall)b::bigint
WHERE reason = 'unknown task' AND due > %(wall)b::bigint
  AND task IN (SELECT id FROM mainspring.task WHERE name = ANY(%(tasks)b::text[]));

-- name: renew
UPDATE mainspring.granted g SET expires = %b::bigint
FROM (
  SELECT token FROM mainspring.granted WHERE token = ANY(%b::bigint[]) ORDER BY token FOR UPDATE
) mine
WHERE g.token = mine.token AND g."left" > 0 AND NOT g.lost;

-- name: lost
SELECT e.token FROM unnest(%b::bigint[]) e(token)
LEFT JOIN mainspring.granted g ON g.token = e.token WHERE g.token IS NULL OR g.lost;

-- name: cancels
SELECT number FROM mainspring.running
WHERE cancel IS NOT NULL AND token = ANY(%b::bigint[]) ORDER BY number;

-- name: paused
SELECT name FROM mainspring.queue WHERE paused ORDER BY name;

-- Locked, so that the job is not deleted while something is written about it.
-- name: holders
SELECT number, token, attempt FROM mainspring.running
WHERE number = ANY(%b::bigint[]) ORDER BY number FOR SHARE;

-- name: progress
INSERT INTO mainspring.progress VALUES(%b::bigint, %b::float8, %s)
ON CONFLICT (number) DO UPDATE SET percent = excluded.percent, text = excluded.text;

-- name: last_line
SELECT line, size FROM mainspring.log WHERE number = %b::bigint ORDER BY line DESC LIMIT 1;

-- name: last_lines
SELECT at, text FROM mainspring.log WHERE number = %b::bigint ORDER BY line DESC LIMIT %b::bigint;

-- name: line
INSERT INTO mainspring.log SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::text[]);

-- name: old_lines
DELETE FROM mainspring.log WHERE number = %b::bigint AND (line <= %b::bigint OR size <= %b::bigint);

-- name: known
SELECT 1 FROM mainspring.granted WHERE token = %b::bigint;

-- A grant that is being renewed or settled at this moment is left for the next time.
-- name: expired
SELECT token, low, high FROM mainspring.granted WHERE "left" > 0 AND expires <= %b::bigint
ORDER BY expires FOR UPDATE SKIP LOCKED;

-- name: held_by
SELECT number FROM mainspring.running
WHERE number BETWEEN %b::bigint AND %b::bigint AND token = %b::bigint
ORDER BY number LIMIT %b::bigint FOR UPDATE;

-- name: take_over
UPDATE mainspring.running SET token = %b::bigint WHERE number = ANY(%b::bigint[]);

-- name: lose
UPDATE mainspring.granted SET "left" = "left" - %b::int, lost = true WHERE token = %b::bigint;

-- name: reclaimable
SELECT EXISTS(SELECT 1 FROM mainspring.granted WHERE "left" > 0 AND expires <= %b::bigint)
  OR EXISTS(SELECT 1 FROM mainspring.granted WHERE token = %b::bigint);
