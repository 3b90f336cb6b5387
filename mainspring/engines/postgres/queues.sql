-- name: configure
UPDATE mainspring.queue SET
  paused = coalesce(%b::boolean, paused), by_hand = coalesce(%b::boolean, by_hand),
  aging = coalesce(%b::bigint, aging),
  keep_completed = coalesce(%b::bigint, keep_completed),
  keep_cancelled = coalesce(%b::bigint, keep_cancelled),
  keep_failed = coalesce(%b::bigint, keep_failed),
  max_retries = coalesce(%b::bigint, max_retries),
  retry_delays = coalesce(%b::bytea, retry_delays),
  ack_deadline = coalesce(%b::bigint, ack_deadline),
  max_depth = coalesce(%b::bigint, max_depth)
WHERE id = %b::bigint;

-- name: queue
SELECT name, paused, by_hand, aging, keep_completed, keep_cancelled, keep_failed,
  max_retries, retry_delays, ack_deadline, max_depth
FROM mainspring.queue WHERE id = %b::bigint;

-- name: queues
SELECT name, paused, by_hand, aging, keep_completed, keep_cancelled, keep_failed,
  max_retries, retry_delays, ack_deadline, max_depth
FROM mainspring.queue ORDER BY name;

-- name: to_rescore
SELECT number FROM mainspring.later
WHERE queue = %b::bigint AND number > %b::bigint AND NOT kept ORDER BY number LIMIT %b::bigint;

-- name: rescore
UPDATE mainspring.later l
SET lift = j.priority * q.aging, score = l.due - j.priority * q.aging
FROM mainspring.job j JOIN mainspring.queue q ON q.id = j.queue
WHERE j.number = l.number AND l.number = ANY(%b::bigint[]);
