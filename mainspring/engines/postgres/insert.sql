-- name: by_hand
UPDATE mainspring.queue SET by_hand = true WHERE id = %b::bigint AND NOT by_hand;

-- name: aging
SELECT aging FROM mainspring.queue WHERE id = %b::bigint;

-- name: most
SELECT max_depth FROM mainspring.queue WHERE id = %b::bigint;

-- name: store
SELECT mainspring.store(%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b);

-- name: ready
INSERT INTO mainspring.ready
SELECT created - lift, number, lift, 0, -2 * queue, task, 0, 0, 0, 0, flags & 32 <> 0, false,
  lift > 2000000, expires
FROM mainspring.job WHERE number = ANY(%b::bigint[]);

-- name: blocked
INSERT INTO mainspring.blocked
SELECT number, due, 0, expires, queue, 0, 0
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) t(number, due, expires, queue);

-- name: later
INSERT INTO mainspring.later
SELECT number, due, due - lift, lift, 0, expires, queue, -2 * queue, task, 0, 0, 0, 1, 0, false,
  careful <> 0, NULL
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[]) t(number, due, lift, expires, queue, task, careful);

-- name: mark
INSERT INTO mainspring.mark SELECT * FROM unnest(%b::bigint[], %b::bytea[], %b::bigint[]);

-- name: edge
INSERT INTO mainspring.edge
SELECT parent, child, anyway <> 0, 1
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[]) t(parent, child, anyway);

-- name: known
SELECT id, number, queue, task, priority, policy, payload, headers, extra
FROM mainspring.job WHERE id = ANY(%b::bytea[]);

-- name: known_parents
SELECT id, number FROM mainspring.job WHERE id = ANY(%b::bytea[]) ORDER BY id FOR KEY SHARE;

-- name: ended
SELECT number, state FROM mainspring.finished WHERE number = ANY(%b::bigint[]);
