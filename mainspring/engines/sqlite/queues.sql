-- name: configure
UPDATE queue SET
  paused = coalesce(?, paused), by_hand = coalesce(?, by_hand), aging = coalesce(?, aging),
  keep_completed = coalesce(?, keep_completed), keep_cancelled = coalesce(?, keep_cancelled),
  keep_failed = coalesce(?, keep_failed), max_retries = coalesce(?, max_retries),
  retry_delays = coalesce(?, retry_delays), ack_deadline = coalesce(?, ack_deadline),
  max_depth = coalesce(?, max_depth)
WHERE id = ?;

-- name: limited
UPDATE meter SET n = (SELECT count(*) FROM queue WHERE max_depth > 0) WHERE queue = 0 AND state = 2;

-- name: queue
SELECT name, paused, by_hand, aging, keep_completed, keep_cancelled, keep_failed,
  max_retries, retry_delays, ack_deadline, max_depth
FROM queue WHERE id = ?;

-- name: queues
SELECT name, paused, by_hand, aging, keep_completed, keep_cancelled, keep_failed,
  max_retries, retry_delays, ack_deadline, max_depth
FROM queue ORDER BY name;

-- name: to_rescore
SELECT number FROM later WHERE queue = ? AND number > ? AND NOT kept ORDER BY number LIMIT ?;

-- name: rescore
UPDATE later SET (lift, score) = (
  SELECT j.priority * q.aging, later.due - j.priority * q.aging
  FROM job j CROSS JOIN queue q ON q.id = j.queue WHERE j.number = later.number
)
WHERE number IN (SELECT value FROM json_each(?));
