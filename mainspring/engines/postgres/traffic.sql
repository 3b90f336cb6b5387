-- name: counts
SELECT m.queue, m.state::int, sum(m.n)::bigint
FROM mainspring.queue q JOIN mainspring.meter m ON m.queue IN (q.id, -q.id)
WHERE q.name = %s GROUP BY m.queue, m.state;

-- name: sums
SELECT
  (SELECT count(DISTINCT g.worker) FROM mainspring.granted g
   WHERE g."left" > 0 AND EXISTS(
     SELECT 1 FROM mainspring.running r WHERE r.number BETWEEN g.low AND g.high
       AND r.token = g.token
       AND r.queue = (SELECT q.id FROM mainspring.queue q WHERE q.name = %(name)s))),
  coalesce(sum(s.started), 0)::bigint, coalesce(sum(s.waited), 0)::bigint
FROM mainspring.queue q JOIN mainspring.stat s ON s.minute = 0 AND s.queue = q.id
WHERE q.name = %(name)s;
