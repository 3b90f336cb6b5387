-- name: kinds
SELECT number, (queue::bigint << 40) | (task::bigint << 8) | flags
FROM mainspring.job WHERE number = ANY(%b::bigint[]);

-- name: complete
SELECT done, awaited FROM mainspring.complete(%b::bigint, %b::bigint, %b, %b, %b::bytea[]);

-- name: lock
SELECT 1 FROM mainspring.granted WHERE token = ANY(%b::bigint[]) ORDER BY token FOR UPDATE;

-- name: held
SELECT r.number, r.token, r.queue, r.lane, r.score, r.lift, r.attempt, r.claims, r.cancel,
  j.task, j.flags, j.priority, j.policy, j.expires, q.aging
FROM mainspring.running r JOIN mainspring.job j ON j.number = r.number
JOIN mainspring.queue q ON q.id = r.queue
WHERE r.number = ANY(%b::bigint[]) ORDER BY r.number FOR UPDATE OF r;

-- name: unrun
DELETE FROM mainspring.running WHERE number = ANY(%b::bigint[]);

-- name: left
UPDATE mainspring.granted g SET "left" = g."left" - t.n
FROM unnest(%b::bigint[], %b::bigint[]) t(token, n) WHERE g.token = t.token;

-- name: finished
INSERT INTO mainspring.finished
SELECT number, at, took, last, keep, queue, attempt, claims, state, did, reason, result
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::bytea[])
  t(number, state, queue, at, took, attempt, claims, last, did, keep, reason, result);

-- name: later
INSERT INTO mainspring.later
SELECT number, due, score, lift, last, expires, queue, lane, task, attempt, claims, losses, state,
  did, kept <> 0, careful <> 0, reason
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[])
  t(number, due, score, lift, lane, queue, task, attempt, claims, losses, careful, last, did,
    kept, state, expires, reason);

-- name: ready
INSERT INTO mainspring.ready
SELECT score, number, lift, last, lane, task, attempt, claims, losses, did, careful <> 0, true,
  behind <> 0, expires
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[])
  t(number, score, lift, lane, task, attempt, claims, losses, careful, last, did, behind,
    expires);

-- name: error
INSERT INTO mainspring.error SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[])
ON CONFLICT (number, claims) DO UPDATE SET body = excluded.body;

-- name: old_errors
DELETE FROM mainspring.error e USING unnest(%b::bigint[], %b::bigint[]) t(number, claims)
WHERE e.number = t.number AND e.claims <= t.claims;

-- name: any_edge
SELECT 1 FROM mainspring.edge WHERE parent BETWEEN %b::bigint AND %b::bigint AND state = 1 LIMIT 1;

-- name: traces
SELECT number, state, last, did FROM mainspring.finished WHERE number = ANY(%(numbers)b::bigint[])
UNION ALL
SELECT number, 4, last, did FROM mainspring.running WHERE number = ANY(%(numbers)b::bigint[])
UNION ALL
SELECT number, state, last, did FROM mainspring.later WHERE number = ANY(%(numbers)b::bigint[])
UNION ALL
SELECT number, 2, last, did FROM mainspring.blocked WHERE number = ANY(%(numbers)b::bigint[])
UNION ALL
SELECT number, 3, last, did FROM mainspring.ready
WHERE moved AND number = ANY(%(numbers)b::bigint[]);
