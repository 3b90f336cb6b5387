-- name: number
UPDATE meter SET n = n + ? WHERE queue = 0 AND state = 0
RETURNING n, (SELECT n FROM meter WHERE queue = 0 AND state = 2);

-- name: room
SELECT max_depth, (SELECT coalesce(sum(n), 0) FROM meter WHERE queue = ? AND state IN (1, 2, 3, 5))
FROM queue WHERE id = ?;

-- name: aging
SELECT aging FROM queue WHERE id = ?;

-- name: by_hand
UPDATE queue SET by_hand = 1 WHERE id = ? AND NOT by_hand;

-- name: job
INSERT INTO job VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: undo
DELETE FROM job WHERE number BETWEEN ? AND ?;

-- name: ready
INSERT INTO ready
SELECT -2 * queue, created - lift, number, lift, 0, 0, 0, 0, flags & 32 <> 0, 0, 0
FROM job WHERE number BETWEEN ? AND ?;

-- name: ready_but
INSERT INTO ready
SELECT -2 * queue, created - lift, number, lift, 0, 0, 0, 0, flags & 32 <> 0, 0, 0
FROM job WHERE number BETWEEN ? AND ? AND number NOT IN (SELECT value FROM json_each(?));

-- name: blocked
INSERT INTO blocked VALUES(?, ?, ?, 0, 0, 0);

-- name: later
INSERT INTO later VALUES(?, ?, ?, ?, ?, ?, 0, 1, 0, 0, 0, ?, 0, 0, NULL);

-- name: mark
INSERT INTO mark VALUES(?, ?, ?);

-- name: expiry
INSERT INTO expiry VALUES(?, ?, ?);

-- name: edge
INSERT INTO edge VALUES(?, ?, ?, ?);

-- One parameter holds all ids, sixteen bytes each, so that the statement is always the same.
-- name: known
WITH RECURSIVE place(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM place WHERE n + 1 < ?)
SELECT j.id, j.number,
  j.queue, j.task, j.priority, j.policy, j.payload, j.headers, j.extra
FROM place CROSS JOIN job j ON j.id = substr(?, 16 * n + 1, 16);

-- name: ended
SELECT f.number, f.state
FROM json_each(?) parent CROSS JOIN finished f ON f.number = parent.value;
