-- name: pending
SELECT coalesce(sum(n), 0)::bigint FROM mainspring.meter WHERE state = %b::int;

-- name: numbers
SELECT number FROM mainspring.job WHERE id = ANY(%b::bytea[]);

-- Branches: `s` is the table that is read, `j` the job.

-- name: any
SELECT s.number FROM mainspring.job s JOIN mainspring.job j ON j.number = s.number WHERE true

-- name: none
SELECT s.number FROM mainspring.job s JOIN mainspring.job j ON j.number = s.number WHERE false

-- name: in_scheduled
SELECT s.number FROM mainspring.later s JOIN mainspring.job j ON j.number = s.number
WHERE s.state = 1

-- name: in_blocked
SELECT s.number FROM mainspring.blocked s JOIN mainspring.job j ON j.number = s.number WHERE true

-- name: in_pending
SELECT s.number FROM mainspring.ready s JOIN mainspring.job j ON j.number = s.number WHERE true

-- name: in_no_other
SELECT s.number FROM mainspring.job s JOIN mainspring.job j ON j.number = s.number
WHERE NOT EXISTS(SELECT 1 FROM mainspring.finished x WHERE x.number = s.number)
  AND NOT EXISTS(SELECT 1 FROM mainspring.running x WHERE x.number = s.number)
  AND NOT EXISTS(SELECT 1 FROM mainspring.later x WHERE x.number = s.number)
  AND NOT EXISTS(SELECT 1 FROM mainspring.blocked x WHERE x.number = s.number)

-- name: in_running
SELECT s.number FROM mainspring.running s JOIN mainspring.job j ON j.number = s.number WHERE true

-- name: in_retrying
SELECT s.number FROM mainspring.later s JOIN mainspring.job j ON j.number = s.number
WHERE s.state = 5

-- name: in_completed
SELECT s.number FROM mainspring.finished s JOIN mainspring.job j ON j.number = s.number
WHERE s.state = 6

-- name: in_failed
SELECT s.number FROM mainspring.finished s JOIN mainspring.job j ON j.number = s.number
WHERE s.state > 6 AND s.state = 7

-- name: in_cancelled
SELECT s.number FROM mainspring.finished s JOIN mainspring.job j ON j.number = s.number
WHERE s.state > 6 AND s.state = 8

-- name: if_numbers
AND s.number = ANY(%(numbers)b::bigint[])

-- name: if_queues
AND j.queue IN (SELECT id FROM mainspring.queue WHERE name = ANY(%(queues)b::text[]))

-- name: if_tasks
AND j.task IN (SELECT id FROM mainspring.task WHERE name = ANY(%(tasks)b::text[]))

-- name: if_keys
AND s.number IN (
  SELECT m.number FROM mainspring.mark m WHERE m.kind = 1 AND m.value = ANY(%(keys)b::bytea[]))

-- name: if_tags
AND s.number IN (
  SELECT m.number FROM mainspring.mark m WHERE m.kind = 0 AND m.value = ANY(%(tags)b::bytea[]))

-- name: if_before
AND j.created < %(before)b::bigint

-- name: if_since
AND j.created >= %(since)b::bigint

-- name: if_below
AND s.number < %(below)b::bigint

-- name: order
ORDER BY 1 DESC LIMIT %(limit)b::bigint
