-- name: queues
SELECT q.id FROM json_each(?) e CROSS JOIN queue q ON q.name = e.value;

-- name: counts
SELECT state, sum(n) FROM meter WHERE queue > 0 GROUP BY state;

-- name: counts_of_queues
SELECT m.state, sum(m.n) FROM json_each(?) e CROSS JOIN meter m ON m.queue = e.value
GROUP BY m.state;

-- name: numbers
WITH RECURSIVE place(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM place WHERE n + 1 < ?)
SELECT j.number FROM place CROSS JOIN job j ON j.id = substr(?, 16 * n + 1, 16);

-- Branches: `s` is the table that is read, `j` the job.

-- name: any
SELECT s.number FROM job s CROSS JOIN job j ON j.number = s.number WHERE true

-- name: none
SELECT s.number FROM job s CROSS JOIN job j ON j.number = s.number WHERE false

-- name: in_scheduled
SELECT s.number FROM later s CROSS JOIN job j ON j.number = s.number WHERE s.state = 1

-- name: in_blocked
SELECT s.number FROM blocked s CROSS JOIN job j ON j.number = s.number WHERE true

-- name: in_pending
SELECT s.number FROM ready s CROSS JOIN job j ON j.number = s.number WHERE true

-- Asked of `j`, so that the cheaper conditions on it come first.
-- name: in_no_other
SELECT s.number FROM job s CROSS JOIN job j ON j.number = s.number
WHERE NOT EXISTS(SELECT 1 FROM finished WHERE number = j.number)
  AND NOT EXISTS(SELECT 1 FROM running WHERE number = j.number)
  AND NOT EXISTS(SELECT 1 FROM later WHERE number = j.number)
  AND NOT EXISTS(SELECT 1 FROM blocked WHERE number = j.number)

-- name: in_running
SELECT s.number FROM running s CROSS JOIN job j ON j.number = s.number WHERE true

-- name: in_retrying
SELECT s.number FROM later s CROSS JOIN job j ON j.number = s.number WHERE s.state = 5

-- name: in_completed
SELECT s.number FROM finished s CROSS JOIN job j ON j.number = s.number WHERE s.state = 6

-- name: in_failed
SELECT s.number FROM finished s INDEXED BY finished_badly CROSS JOIN job j ON j.number = s.number
WHERE s.state > 6 AND s.state = 7

-- name: in_cancelled
SELECT s.number FROM finished s INDEXED BY finished_badly CROSS JOIN job j ON j.number = s.number
WHERE s.state > 6 AND s.state = 8

-- name: if_numbers
AND s.number IN (SELECT value FROM json_each(:numbers))

-- name: of_queues
AND s.queue IN (SELECT value FROM json_each(:queues))

-- By no index: of so many jobs the first page is soon found in passing.
-- name: of_queues_scanned
AND +s.queue IN (SELECT value FROM json_each(:queues))

-- name: of_lanes
AND s.lane IN (SELECT value FROM json_each(:lanes))

-- name: if_tasks
AND j.task IN (SELECT t.id FROM json_each(:tasks) e CROSS JOIN task t ON t.name = e.value)

-- name: if_keys
AND s.number IN (
  SELECT m.number FROM json_each(:keys) e CROSS JOIN mark m ON m.kind = 1 AND m.value = e.value)

-- name: if_tags
AND s.number IN (
  SELECT m.number FROM json_each(:tags) e CROSS JOIN mark m ON m.kind = 0 AND m.value = e.value)

-- name: if_before
AND j.created < :before

-- name: if_since
AND j.created >= :since

-- name: if_below
AND s.number < :below

-- name: order
ORDER BY 1 DESC LIMIT :limit
