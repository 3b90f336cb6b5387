-- name: retention
SELECT id, keep_completed, keep_cancelled, keep_failed FROM mainspring.queue ORDER BY id;

-- name: walk
SELECT f.number, f.at + greatest(%b::bigint, CASE f.state
    WHEN 6 THEN coalesce(f.keep, q.keep_completed)
    WHEN 7 THEN q.keep_failed
    ELSE q.keep_cancelled
  END)
FROM mainspring.finished f JOIN mainspring.queue q ON q.id = f.queue
WHERE f.number > %b::bigint ORDER BY f.number LIMIT %b::bigint;

-- name: lock
SELECT number FROM mainspring.job WHERE number = ANY(%b::bigint[])
ORDER BY number FOR UPDATE SKIP LOCKED;

-- name: lock_ended
SELECT number FROM mainspring.finished WHERE number = ANY(%b::bigint[])
ORDER BY number FOR UPDATE SKIP LOCKED;

-- Not while an unfinished job depends on it, nor while it holds a unique key.
-- name: free
SELECT f.number
FROM mainspring.finished f JOIN mainspring.queue q ON q.id = f.queue
WHERE f.number = ANY(%(numbers)b::bigint[])
  AND f.at + greatest(%(least)b::bigint, CASE f.state
    WHEN 6 THEN coalesce(f.keep, q.keep_completed)
    WHEN 7 THEN q.keep_failed
    ELSE q.keep_cancelled
  END) <= %(wall)b::bigint
  AND NOT EXISTS(SELECT 1 FROM mainspring.edge WHERE parent = f.number AND state < 2)
  AND NOT EXISTS(
    SELECT 1 FROM mainspring.ukey WHERE number = f.number AND until > %(wall)b::bigint);
