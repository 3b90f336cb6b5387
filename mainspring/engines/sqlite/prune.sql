-- name: retention
SELECT keep_completed, keep_cancelled, keep_failed, count(*), sum(id) FROM queue GROUP BY 1, 2, 3;

-- name: walk
SELECT f.number, f.at + max(?, CASE f.state
    WHEN 6 THEN coalesce(f.keep, q.keep_completed)
    WHEN 7 THEN q.keep_failed
    ELSE q.keep_cancelled
  END)
FROM finished f CROSS JOIN queue q ON q.id = f.queue
WHERE f.number > ? ORDER BY f.number LIMIT ?;

-- Not while an unfinished job depends on it, nor while it holds a unique key.
-- name: free
SELECT f.number
FROM (SELECT ? AS wall, ? AS least) now CROSS JOIN json_each(?) e
CROSS JOIN finished f ON f.number = e.value CROSS JOIN queue q ON q.id = f.queue
WHERE f.at + max(now.least, CASE f.state
    WHEN 6 THEN coalesce(f.keep, q.keep_completed)
    WHEN 7 THEN q.keep_failed
    ELSE q.keep_cancelled
  END) <= now.wall
  AND NOT EXISTS(SELECT 1 FROM edge WHERE parent = f.number AND state < 2)
  AND NOT EXISTS(SELECT 1 FROM ukey WHERE number = f.number AND until > now.wall);
