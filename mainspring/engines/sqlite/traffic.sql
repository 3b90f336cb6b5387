-- name: counts
SELECT m.queue, m.state, m.n
FROM queue q CROSS JOIN meter m ON m.queue IN (q.id, -q.id) WHERE q.name = ?;

-- What a grant holds lies between its bounds.
-- name: sums
WITH named(id) AS (SELECT id FROM queue WHERE name = ?)
SELECT
  (SELECT count(DISTINCT g.worker) FROM granted g INDEXED BY granted_live
   WHERE g."left" > 0 AND g.expires >= 0 AND EXISTS(
     SELECT 1 FROM running r WHERE r.number BETWEEN g.low AND g.high
       AND r.token = g.token AND r.queue = (SELECT id FROM named))),
  coalesce(sum(started), 0), coalesce(sum(waited), 0)
FROM stat WHERE minute = 0 AND queue = (SELECT id FROM named);
