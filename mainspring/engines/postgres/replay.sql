-- name: broken
SELECT DISTINCT child FROM mainspring.edge WHERE parent = ANY(%b::bigint[]) AND state = 2;

-- name: bodies
SELECT j.number, j.extra, q.aging FROM mainspring.job j JOIN mainspring.queue q ON q.id = j.queue
WHERE j.number = ANY(%b::bigint[]);

-- name: unfinish
DELETE FROM mainspring.finished WHERE number = ANY(%b::bigint[]);

-- name: unprogress
DELETE FROM mainspring.progress WHERE number = ANY(%b::bigint[]);

-- name: unrelease
DELETE FROM mainspring.release WHERE parent = ANY(%b::bigint[]);

-- name: blocked
INSERT INTO mainspring.blocked
SELECT number, %b::bigint, last, expires, queue, claims, did
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
  t(number, last, expires, queue, claims, did);

-- name: ready
INSERT INTO mainspring.ready
SELECT score, number, lift, last, lane, task, 0, claims, 0, did, careful <> 0, true, behind <> 0,
  expires
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
  t(score, number, lift, last, lane, task, claims, did, careful, behind, expires);

-- name: expires
UPDATE mainspring.job j SET expires = t.expires
FROM unnest(%b::bigint[], %b::bigint[]) t(number, expires) WHERE j.number = t.number;

-- name: drop_edges
DELETE FROM mainspring.edge WHERE child = ANY(%b::bigint[]);

-- name: drop_new_edges
DELETE FROM mainspring.edge_new WHERE child = ANY(%b::bigint[]);

-- name: parents
SELECT j.id, j.number, f.state
FROM (
  SELECT id, number FROM mainspring.job WHERE id = ANY(%b::bytea[]) ORDER BY id FOR KEY SHARE
) j LEFT JOIN mainspring.finished f ON f.number = j.number;

-- name: edge
INSERT INTO mainspring.edge
SELECT parent, child, anyway <> 0, state
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) t(parent, child, anyway, state);
