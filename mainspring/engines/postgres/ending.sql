-- name: unready
DELETE FROM mainspring.ready r
USING unnest(%b::bigint[], %b::bigint[], %b::bigint[]) t(lane, score, number)
WHERE r.lane = t.lane AND r.score = t.score AND r.number = t.number;

-- name: unlater
DELETE FROM mainspring.later WHERE number = ANY(%b::bigint[]);

-- name: unblocked
DELETE FROM mainspring.blocked WHERE number = ANY(%b::bigint[]);

-- name: finished
INSERT INTO mainspring.finished
SELECT t.number, p.wall, 0, t.last, NULL, t.queue, t.attempt, t.claims, p.state, t.did, p.reason,
  NULL
FROM (SELECT %b::bigint AS wall, %b::bigint AS state, %s::text AS reason) p
CROSS JOIN unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[]) t(number, queue, attempt, claims, last, did);

-- name: free_keys
DELETE FROM mainspring.ukey WHERE number = ANY(%b::bigint[]) AND until <= %b::bigint;

-- Broken edges stay: by them a replay of the parent finds the child.
-- name: drop_edges
DELETE FROM mainspring.edge WHERE child = ANY(%b::bigint[]) AND state < 2;

-- name: edges
SELECT e.parent, e.child, e.anyway
FROM unnest(%b::bigint[]) WITH ORDINALITY ended(number, place)
JOIN mainspring.edge e ON e.parent = ended.number AND e.state = 1
ORDER BY ended.place, e.child LIMIT %b::bigint;

-- name: leave
INSERT INTO mainspring.release SELECT * FROM unnest(%b::bigint[], %b::bigint[]) ORDER BY 1
ON CONFLICT (parent) DO UPDATE SET after = excluded.after;

-- name: lock
SELECT 1 FROM mainspring.blocked WHERE number = ANY(%b::bigint[]) ORDER BY number FOR UPDATE;

-- name: satisfy
UPDATE mainspring.edge e SET state = 0 FROM unnest(%b::bigint[], %b::bigint[]) t(parent, child)
WHERE e.parent = t.parent AND e.child = t.child AND e.state = 1;

-- name: break
INSERT INTO mainspring.edge
SELECT parent, child, false, 2 FROM unnest(%b::bigint[], %b::bigint[]) t(parent, child)
ON CONFLICT (parent, child) DO UPDATE SET state = 2;

-- name: free
SELECT t.number FROM unnest(%b::bigint[]) t(number)
WHERE NOT EXISTS(SELECT 1 FROM mainspring.edge e WHERE e.child = t.number AND e.state = 1);

-- A released job becomes due now, if its time has not yet to come.
-- name: release
WITH gone AS (
  DELETE FROM mainspring.blocked WHERE number = ANY(%(free)b::bigint[])
  RETURNING number, queue, due, claims, last, did, expires
), placed AS MATERIALIZED (
  SELECT g.*, j.task, j.priority * q.aging AS lift, j.flags & 32 <> 0 AS careful
  FROM gone g JOIN mainspring.job j ON j.number = g.number
  JOIN mainspring.queue q ON q.id = g.queue
), ready AS (
  INSERT INTO mainspring.ready
  SELECT %(wall)b::bigint - lift, number, lift, last, -2 * queue, task, 0, claims, 0, did, careful,
    true, %(wall)b::bigint - lift < %(behind)b::bigint, expires
  FROM placed WHERE due <= %(wall)b::bigint
), later AS (
  INSERT INTO mainspring.later
  SELECT number, due, due - lift, lift, last, expires, queue, -2 * queue, task, 0, claims, 0, 1,
    did, false, careful, NULL
  FROM placed WHERE due > %(wall)b::bigint
)
SELECT queue, due FROM placed;

-- name: next_releases
SELECT r.parent, f.state, r.after
FROM mainspring.release r JOIN mainspring.finished f ON f.number = r.parent
LIMIT %b::bigint FOR UPDATE OF r SKIP LOCKED;

-- name: edges_after
SELECT e.parent, e.child, e.anyway
FROM unnest(%b::bigint[], %b::bigint[]) WITH ORDINALITY ended(number, after, place)
JOIN mainspring.edge e ON e.parent = ended.number AND e.child > ended.after AND e.state = 1
ORDER BY ended.place, e.child LIMIT %b::bigint;

-- name: drop_releases
DELETE FROM mainspring.release WHERE parent = ANY(%b::bigint[]);

-- name: advance_release
UPDATE mainspring.release SET after = %b::bigint WHERE parent = %b::bigint;

-- name: unseen
SELECT DISTINCT e.parent, e.child, e.anyway, f.state
FROM mainspring.edge_new n JOIN mainspring.finished f ON f.number = n.parent
JOIN mainspring.edge e ON e.parent = n.parent AND e.child = n.child AND e.state = 1
LIMIT %b::bigint;

-- name: expect
INSERT INTO mainspring.edge_new
SELECT parent, child, NULL FROM unnest(%b::bigint[], %b::bigint[]) t(parent, child);

-- Transactions are counted by 64 bits; what has begun is below the snapshot's end.
-- name: date_expected
UPDATE mainspring.edge_new SET until = pg_snapshot_xmax(pg_current_snapshot())::text::bigint
WHERE until IS NULL;

-- name: drop_expected
DELETE FROM mainspring.edge_new n
WHERE n.until <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint
  AND NOT EXISTS(
    SELECT 1 FROM mainspring.finished f
    JOIN mainspring.edge e ON e.parent = n.parent AND e.child = n.child AND e.state = 1
    WHERE f.number = n.parent);
