-- name: known
SELECT EXISTS(SELECT 1 FROM granted WHERE token = ?), EXISTS(SELECT 1 FROM release),
  EXISTS(SELECT 1 FROM queue LIMIT 1 OFFSET ?);

-- name: all_queues
SELECT q.id, q.name,
  (SELECT min(due) FROM later WHERE queue = q.id), (SELECT min(at) FROM expiry WHERE queue = q.id),
  (SELECT score FROM ready WHERE lane = -2 * q.id ORDER BY score, number LIMIT 1),
  (SELECT number FROM ready WHERE lane = -2 * q.id ORDER BY score, number LIMIT 1),
  (SELECT min(score) FROM ready WHERE lane = -2 * q.id - 1)
FROM queue q WHERE NOT q.paused AND NOT q.by_hand;

-- From one queue that has jobs to the next, by indexes: those without cost nothing.
-- name: all_queues_with_jobs
WITH RECURSIVE
  with_ready(id) AS (
    SELECT -max(lane) / 2 FROM ready UNION ALL
    SELECT (SELECT -max(lane) / 2 FROM ready WHERE lane < -2 * w.id - 1) FROM with_ready w
    WHERE w.id IS NOT NULL),
  with_later(id) AS (
    SELECT min(queue) FROM later UNION ALL
    SELECT (SELECT min(queue) FROM later WHERE queue > w.id) FROM with_later w
    WHERE w.id IS NOT NULL),
  with_expiry(id) AS (
    SELECT min(queue) FROM expiry UNION ALL
    SELECT (SELECT min(queue) FROM expiry WHERE queue > w.id) FROM with_expiry w
    WHERE w.id IS NOT NULL)
SELECT q.id, q.name,
  (SELECT min(due) FROM later WHERE queue = q.id), (SELECT min(at) FROM expiry WHERE queue = q.id),
  (SELECT score FROM ready WHERE lane = -2 * q.id ORDER BY score, number LIMIT 1),
  (SELECT number FROM ready WHERE lane = -2 * q.id ORDER BY score, number LIMIT 1),
  (SELECT min(score) FROM ready WHERE lane = -2 * q.id - 1)
FROM (
  SELECT id FROM with_ready UNION SELECT id FROM with_later UNION SELECT id FROM with_expiry
) w CROSS JOIN queue q ON q.id = w.id
WHERE NOT q.paused AND NOT q.by_hand;

-- name: named_queues
SELECT q.id, q.name,
  (SELECT min(due) FROM later WHERE queue = q.id), (SELECT min(at) FROM expiry WHERE queue = q.id),
  (SELECT score FROM ready WHERE lane = -2 * q.id ORDER BY score, number LIMIT 1),
  (SELECT number FROM ready WHERE lane = -2 * q.id ORDER BY score, number LIMIT 1),
  (SELECT min(score) FROM ready WHERE lane = -2 * q.id - 1)
FROM json_each(?) e CROSS JOIN queue q ON q.name = e.value
WHERE NOT q.paused ORDER BY e.key;

-- name: any_ready
WITH RECURSIVE with_ready(id) AS (
  SELECT -max(lane) / 2 FROM ready UNION ALL
  SELECT (SELECT -max(lane) / 2 FROM ready WHERE lane < -2 * w.id - 1) FROM with_ready w
  WHERE w.id IS NOT NULL)
SELECT 1 FROM with_ready w CROSS JOIN queue q ON q.id = w.id
WHERE NOT q.paused AND NOT q.by_hand AND EXISTS(SELECT 1 FROM ready WHERE lane = -2 * q.id)
LIMIT 1;
