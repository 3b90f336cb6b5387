-- From one queue that has such jobs to the next: those without cost nothing.
-- name: queues
WITH RECURSIVE
  with_later(id) AS (
    SELECT min(queue) FROM later UNION ALL
    SELECT (SELECT min(queue) FROM later WHERE queue > w.id) FROM with_later w
    WHERE w.id IS NOT NULL),
  with_expiry(id) AS (
    SELECT min(queue) FROM expiry UNION ALL
    SELECT (SELECT min(queue) FROM expiry WHERE queue > w.id) FROM with_expiry w
    WHERE w.id IS NOT NULL)
SELECT id FROM with_later
WHERE EXISTS(SELECT 1 FROM later WHERE queue = id AND due <= :wall)
UNION SELECT id FROM with_expiry
WHERE EXISTS(SELECT 1 FROM expiry WHERE queue = id AND at <= :wall);

-- name: releases
SELECT EXISTS(SELECT 1 FROM release);

-- name: old
SELECT EXISTS(SELECT 1 FROM granted WHERE "left" <= 0 AND expires < :grants)
  OR EXISTS(SELECT 1 FROM worker WHERE until < :workers)
  OR EXISTS(SELECT 1 FROM stat WHERE minute > 0 AND minute < :minutes);

-- name: old_grants
SELECT token FROM granted WHERE "left" <= 0 AND expires < :grants;

-- name: drop_grants
DELETE FROM granted WHERE token IN (SELECT value FROM json_each(?));

-- name: drop_workers
DELETE FROM worker WHERE until < :workers;

-- name: drop_stats
DELETE FROM stat WHERE minute > 0 AND minute < :minutes;

-- name: drop_histograms
DELETE FROM histogram WHERE minute < :minutes;
