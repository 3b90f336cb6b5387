-- name: ask
UPDATE running SET cancel = coalesce(cancel, ?)
WHERE number IN (SELECT value FROM json_each(?));

-- name: owing
SELECT f.number, f.state, r.after FROM json_each(?) e CROSS JOIN release r ON r.parent = e.value
CROSS JOIN finished f ON f.number = r.parent;

-- name: awaited
SELECT e.parent, j.id FROM json_each(?) n CROSS JOIN edge e ON e.parent = n.value
  AND e.child = (SELECT child FROM edge WHERE parent = n.value AND state < 2 LIMIT 1)
CROSS JOIN job j ON j.number = e.child;

-- name: ended_by_queue
SELECT f.queue, f.state, count(*)
FROM json_each(?) e CROSS JOIN finished f ON f.number = e.value GROUP BY 1, 2;

-- name: marked
SELECT j.number, j.extra FROM (SELECT ? AS flag) CROSS JOIN json_each(?) e
CROSS JOIN job j ON j.number = e.value WHERE j.flags & flag;

-- name: unmark
DELETE FROM mark WHERE kind = ? AND value = ? AND number = ?;

-- name: drop_body
DELETE FROM job WHERE number IN (SELECT value FROM json_each(?));

-- name: drop_finished
DELETE FROM finished WHERE number IN (SELECT value FROM json_each(?));

-- name: drop_errors
DELETE FROM error WHERE number IN (SELECT value FROM json_each(?));

-- name: drop_progress
DELETE FROM progress WHERE number IN (SELECT value FROM json_each(?));

-- name: drop_log
DELETE FROM log WHERE number IN (SELECT value FROM json_each(?));

-- name: drop_key
DELETE FROM ukey WHERE number IN (SELECT value FROM json_each(?));

-- name: drop_release
DELETE FROM release WHERE parent IN (
  SELECT value FROM json_each(?1) UNION ALL SELECT -value FROM json_each(?1));

-- name: drop_parents
DELETE FROM edge WHERE parent IN (SELECT value FROM json_each(?));

-- name: drop_children
DELETE FROM edge WHERE child IN (SELECT value FROM json_each(?));
