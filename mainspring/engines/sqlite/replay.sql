-- name: fallen
SELECT e.parent, e.child FROM json_each(?) n
CROSS JOIN edge e ON e.parent = n.value AND e.state = 2 LIMIT ?;

-- name: next
SELECT child FROM edge WHERE parent = ? AND child > ? AND state = 2 ORDER BY child LIMIT ?;

-- name: leave
INSERT INTO release VALUES(?, ?) ON CONFLICT DO UPDATE SET after = excluded.after;

-- name: advance
UPDATE release SET after = ? WHERE parent = -?;

-- name: unreturn
DELETE FROM release WHERE parent = -?;

-- name: body
SELECT j.extra, q.aging FROM job j CROSS JOIN queue q ON q.id = j.queue WHERE j.number = ?;

-- name: unfinish
DELETE FROM finished WHERE number = ?;

-- name: unprogress
DELETE FROM progress WHERE number = ?;

-- name: unrelease
DELETE FROM release WHERE parent = ?;

-- name: blocked
INSERT INTO blocked VALUES(?, ?, ?, ?, ?, ?);

-- name: ready
INSERT INTO ready VALUES(?, ?, ?, ?, 1, 0, ?, 0, ?, ?, ?);

-- name: expires
UPDATE job SET expires = ? WHERE number = ?;

-- name: expiry
INSERT INTO expiry VALUES(?, ?, ?);

-- name: drop_edges
DELETE FROM edge WHERE child = ?;

-- name: parents
WITH RECURSIVE place(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM place WHERE n + 1 < ?)
SELECT j.id, j.number, f.state
FROM place CROSS JOIN job j ON j.id = substr(?, 16 * n + 1, 16)
LEFT JOIN finished f ON f.number = j.number;

-- name: edge
INSERT INTO edge VALUES(?, ?, ?, ?);
