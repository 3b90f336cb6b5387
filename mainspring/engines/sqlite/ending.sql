-- name: unready
DELETE FROM ready WHERE lane = ? AND score = ? AND number = ?;

-- name: unlater
DELETE FROM later WHERE number IN (SELECT value FROM json_each(?));

-- name: unblocked
DELETE FROM blocked WHERE number IN (SELECT value FROM json_each(?));

-- name: finished
INSERT INTO finished VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?, NULL, ?, NULL);

-- name: unexpire
DELETE FROM expiry WHERE queue = ? AND at = ? AND number = ?;

-- name: free_keys
DELETE FROM ukey WHERE number IN (SELECT value FROM json_each(?)) AND until <= ?;

-- Broken edges stay: by them a replay of the parent finds the child.
-- name: drop_edges
DELETE FROM edge WHERE child IN (SELECT value FROM json_each(?)) AND state < 2;

-- name: edges
SELECT e.parent, e.child, e.anyway
FROM json_each(?) ended CROSS JOIN edge e ON e.parent = ended.value
WHERE e.state = 1 LIMIT ?;

-- name: leave
INSERT INTO release VALUES(?, ?) ON CONFLICT DO UPDATE SET after = excluded.after;

-- name: satisfy
UPDATE edge SET state = 0 WHERE parent = ? AND child = ?;

-- name: break
INSERT INTO edge VALUES(?, ?, 0, 2) ON CONFLICT DO UPDATE SET state = 2;

-- name: free
SELECT value FROM json_each(?)
WHERE NOT EXISTS(SELECT 1 FROM edge WHERE child = value AND state = 1);

-- A released job becomes due now, if its time has not yet to come.
-- name: released
SELECT b.queue, b.due FROM json_each(?) e CROSS JOIN blocked b ON b.number = e.value;

-- name: release_ready
INSERT INTO ready
SELECT -2 * b.queue, now.wall - j.priority * q.aging, b.number, j.priority * q.aging, 1,
  0, b.claims, 0, j.flags & 32 <> 0, b.last, b.did
FROM (SELECT ? AS wall) now CROSS JOIN json_each(?) e CROSS JOIN blocked b ON b.number = e.value
CROSS JOIN job j ON j.number = b.number CROSS JOIN queue q ON q.id = b.queue
WHERE b.due <= now.wall;

-- name: release_later
INSERT INTO later
SELECT b.number, b.queue, b.due, -2 * b.queue, b.due - j.priority * q.aging,
  j.priority * q.aging, 0, 1, 0, b.claims, 0, j.flags & 32 <> 0, b.last, b.did, NULL
FROM (SELECT ? AS wall) now CROSS JOIN json_each(?) e CROSS JOIN blocked b ON b.number = e.value
CROSS JOIN job j ON j.number = b.number CROSS JOIN queue q ON q.id = b.queue
WHERE b.due > now.wall;

-- name: edges_after
SELECT parent, child, anyway FROM edge WHERE parent = ? AND child > ? AND state = 1 LIMIT ?;

-- name: drop_release
DELETE FROM release WHERE parent = ?;

-- name: advance_release
UPDATE release SET after = ? WHERE parent = ?;
