-- name: configure
UPDATE queue SET
  paused = coalesce(?, paused), by_hand = coalesce(?, by_hand), aging = coalesce(?, aging),
  keep_completed = coalesce(?, keep_completed), keep_cancelled = coalesce(?, keep_cancelled),
  keep_failed = coalesce(?, keep_failed)
WHERE id = ?;

-- name: queue
SELECT name, paused, by_hand, aging, keep_completed, keep_cancelled, keep_failed
FROM queue WHERE id = ?;

-- name: queues
SELECT name, paused, by_hand, aging, keep_completed, keep_cancelled, keep_failed
FROM queue ORDER BY name;

-- name: to_rescore
SELECT number FROM later WHERE queue = ? AND number > ? AND NOT kept ORDER BY number LIMIT ?;

-- name: rescore
UPDATE later SET (lift, score) = (
  SELECT j.priority * q.aging, later.due - j.priority * q.aging
  FROM job j CROSS JOIN queue q ON q.id = j.queue WHERE j.number = later.number
)
WHERE number IN (SELECT value FROM json_each(?));
