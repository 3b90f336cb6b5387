-- name: queues
SELECT q.id FROM queue q
WHERE EXISTS(SELECT 1 FROM later WHERE queue = q.id AND due <= :wall)
  OR EXISTS(SELECT 1 FROM expiry WHERE queue = q.id AND at <= :wall);

-- name: releases
SELECT EXISTS(SELECT 1 FROM release);

-- name: old
SELECT EXISTS(SELECT 1 FROM granted WHERE "left" <= 0 AND expires < :grants)
  OR EXISTS(SELECT 1 FROM worker WHERE until < :workers)
  OR EXISTS(SELECT 1 FROM stat WHERE minute < :minutes);

-- name: old_grants
SELECT token FROM granted WHERE "left" <= 0 AND expires < :grants;

-- name: drop_grants
DELETE FROM granted WHERE token IN (SELECT value FROM json_each(?));

-- name: drop_workers
DELETE FROM worker WHERE until < :workers;

-- name: drop_stats
DELETE FROM stat WHERE minute < :minutes;

-- name: drop_histograms
DELETE FROM histogram WHERE minute < :minutes;
