-- name: kinds
SELECT (queue << 40) | (task << 8) | flags
FROM json_each(?) e CROSS JOIN job j ON j.number = e.value;

-- The fence is the number of rows: what is not held under the token is not there to be moved.
-- name: complete
INSERT INTO finished
SELECT r.number, 6, r.queue, ?, e.value, r.attempt, r.claims, r.token, 6, NULL, NULL, NULL
FROM json_each(?) e CROSS JOIN running r ON r.number = CAST(e.key AS INTEGER)
WHERE r.token = ?;

-- name: complete_with
INSERT INTO finished
SELECT number, 6, queue, ?, ?, attempt, claims, token, 6, NULL, NULL, ?
FROM running WHERE number = ? AND token = ?;

-- name: uncomplete
DELETE FROM finished WHERE number IN (
  SELECT r.number FROM json_each(?) e CROSS JOIN running r ON r.number = e.value
  WHERE r.token = ?
);

-- name: unrun
DELETE FROM running WHERE token = ? AND number IN (SELECT value FROM json_each(?));

-- name: left
UPDATE granted SET "left" = "left" - ? WHERE token = ?;

-- name: held
SELECT r.number, r.token, r.queue, r.lane, r.score, r.lift, r.attempt, r.claims, r.cancel,
  j.task, j.flags, j.priority, j.policy, j.expires, q.aging
FROM json_each(?) e CROSS JOIN running r ON r.number = e.value
CROSS JOIN job j ON j.number = r.number CROSS JOIN queue q ON q.id = r.queue;

-- name: unrun_all
DELETE FROM running WHERE number IN (SELECT value FROM json_each(?));

-- name: finished
INSERT INTO finished VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: later
INSERT INTO later VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: ready
INSERT INTO ready VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: expiry
INSERT INTO expiry VALUES(?, ?, ?);

-- name: error
INSERT INTO error VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body;

-- name: old_errors
DELETE FROM error WHERE number = ? AND claims <= ?;

-- name: any_edge
SELECT 1 FROM edge WHERE parent BETWEEN ? AND ? AND state = 1 LIMIT 1;
