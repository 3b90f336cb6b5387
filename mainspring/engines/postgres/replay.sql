-- name: broken
SELECT DISTINCT child FROM mainspring.edge WHERE parent = ANY(%b::bigint[]) AND state = 2;

-- name: body
SELECT j.extra, q.aging FROM mainspring.job j JOIN mainspring.queue q ON q.id = j.queue
WHERE j.number = %b::bigint;

-- name: unfinish
DELETE FROM mainspring.finished WHERE number = %b::bigint;

-- name: unprogress
DELETE FROM mainspring.progress WHERE number = %b::bigint;

-- name: unrelease
DELETE FROM mainspring.release WHERE parent = %b::bigint;

-- name: blocked
INSERT INTO mainspring.blocked VALUES(%b, %b, %b, %b::bigint, %b, %b, %b);

-- name: ready
INSERT INTO mainspring.ready
VALUES(%b, %b, %b, %b, %b, %b, 0, %b, 0, %b, %b, true, %b, %b::bigint);

-- name: expires
UPDATE mainspring.job SET expires = %b::bigint WHERE number = %b::bigint;

-- name: drop_edges
DELETE FROM mainspring.edge WHERE child = %b::bigint;

-- name: drop_new_edges
DELETE FROM mainspring.edge_new WHERE child = %b::bigint;

-- name: parents
SELECT j.id, j.number, f.state
FROM (
  SELECT id, number FROM mainspring.job WHERE id = ANY(%b::bytea[]) ORDER BY id FOR KEY SHARE
) j LEFT JOIN mainspring.finished f ON f.number = j.number;

-- name: edge
INSERT INTO mainspring.edge
SELECT parent, child, anyway <> 0, state
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) t(parent, child, anyway, state);
