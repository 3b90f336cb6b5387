-- name: queues
SELECT q.id FROM mainspring.queue q
WHERE EXISTS(SELECT 1 FROM mainspring.later WHERE queue = q.id AND due <= %(wall)b::bigint)
  OR EXISTS(SELECT 1 FROM mainspring.later WHERE queue = q.id AND expires <= %(wall)b::bigint)
  OR EXISTS(SELECT 1 FROM mainspring.blocked WHERE queue = q.id AND expires <= %(wall)b::bigint)
  OR EXISTS(SELECT 1 FROM mainspring.ready WHERE lane = -2 * q.id AND expires <= %(wall)b::bigint)
  OR EXISTS(
    SELECT 1 FROM mainspring.ready WHERE lane = -2 * q.id - 1 AND expires <= %(wall)b::bigint);

-- name: releases
SELECT EXISTS(SELECT 1 FROM mainspring.release);

-- name: tables
SELECT EXISTS(SELECT 1 FROM mainspring.edge_new),
  (SELECT count(*) FROM (SELECT 1 FROM mainspring.meter LIMIT %b::bigint) s);

-- name: fold
WITH gone AS (DELETE FROM mainspring.meter RETURNING queue, state, n)
INSERT INTO mainspring.meter
SELECT queue, state, sum(n) FROM gone GROUP BY queue, state HAVING sum(n) <> 0;

-- name: old
SELECT EXISTS(
    SELECT 1 FROM mainspring.granted WHERE "left" <= 0 AND expires < %(grants)b::bigint)
  OR EXISTS(SELECT 1 FROM mainspring.worker WHERE until < %(workers)b::bigint)
  OR EXISTS(SELECT 1 FROM mainspring.stat
    WHERE minute > 0 AND minute < %(minutes)b::bigint);

-- name: drop_grants
DELETE FROM mainspring.granted WHERE token = ANY(ARRAY(
  SELECT token FROM mainspring.granted WHERE "left" <= 0 AND expires < %(grants)b::bigint
  ORDER BY token FOR UPDATE SKIP LOCKED));

-- name: drop_workers
DELETE FROM mainspring.worker WHERE until < %(workers)b::bigint;

-- name: drop_stats
DELETE FROM mainspring.stat WHERE minute > 0 AND minute < %(minutes)b::bigint;

-- name: drop_histograms
DELETE FROM mainspring.histogram WHERE minute < %(minutes)b::bigint;
