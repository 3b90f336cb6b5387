-- name: jobs
SELECT j.number, j.id, q.name, t.name, j.payload, j.priority, j.created, j.expires, p.body,
  j.headers, j.extra,
  CASE
    WHEN f.number IS NOT NULL THEN f.state WHEN r.number IS NOT NULL THEN 4
    WHEN l.number IS NOT NULL THEN l.state WHEN b.number IS NOT NULL THEN 2 ELSE 3
  END,
  coalesce(f.attempt, r.attempt, l.attempt, m.attempt, u.attempt, 0),
  coalesce(f.claims, r.claims, l.claims, b.claims, m.claims, u.claims, 0),
  coalesce(l.losses, m.losses, u.losses, 0),
  coalesce(l.careful, m.careful, u.careful, 0), coalesce(l.lane, m.lane, u.lane, 0) & 1,
  coalesce(l.due, b.due, m.score + m.lift, u.score + u.lift, 0),
  coalesce(l.score, m.score, u.score, 0), coalesce(l.lift, m.lift, u.lift, j.lift),
  k.until, coalesce(f.reason, l.reason), f.at, coalesce(f.took, 0), f.keep, f.result,
  s.percent, s.text
FROM job j
LEFT JOIN queue q ON q.id = j.queue LEFT JOIN task t ON t.id = j.task
LEFT JOIN policy p ON p.id = j.policy
LEFT JOIN finished f ON f.number = j.number
LEFT JOIN running r ON r.number = j.number
LEFT JOIN later l ON l.number = j.number
LEFT JOIN blocked b ON b.number = j.number
LEFT JOIN ready m INDEXED BY ready_moved ON m.number = j.number AND m.moved
LEFT JOIN ready u
  ON u.lane = -2 * j.queue AND u.score = j.created - j.lift AND u.number = j.number
LEFT JOIN ukey k ON k.number = j.number
LEFT JOIN progress s ON s.number = j.number
WHERE j.number > ? ORDER BY j.number LIMIT ?;

-- name: waits
SELECT e.child, p.id, e.anyway, e.state FROM json_each(?) n
CROSS JOIN edge e INDEXED BY edge_child ON e.child = n.value CROSS JOIN job p ON p.number = e.parent
ORDER BY e.child, e.parent;

-- name: errors
SELECT e.number, e.body FROM json_each(?) n CROSS JOIN error e ON e.number = n.value
ORDER BY e.number, e.claims;

-- name: lines
SELECT l.number, l.at, l.attempt, l.text FROM json_each(?) n CROSS JOIN log l ON l.number = n.value
ORDER BY l.number, l.line;

-- name: known
WITH RECURSIVE place(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM place WHERE n + 1 < ?)
SELECT j.id, j.number FROM place CROSS JOIN job j ON j.id = substr(?, 16 * n + 1, 16);

-- name: number
UPDATE meter SET n = n + ? WHERE queue = 0 AND state = 0 RETURNING n;

-- name: job
INSERT INTO job VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: ready
INSERT INTO ready VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0);

-- name: later
INSERT INTO later VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?);

-- name: blocked
INSERT INTO blocked VALUES(?, ?, ?, ?, 0, 0);

-- name: finished
INSERT INTO finished VALUES(?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?);

-- name: expiry
INSERT INTO expiry VALUES(?, ?, ?);

-- name: mark
INSERT INTO mark VALUES(?, ?, ?);

-- name: untied
SELECT n.value, b.number IS NOT NULL, f.at FROM json_each(?) n
LEFT JOIN blocked b ON b.number = n.value LEFT JOIN finished f ON f.number = n.value
WHERE NOT EXISTS(SELECT 1 FROM edge WHERE child = n.value);

-- name: edge
INSERT INTO edge VALUES(?, ?, ?, ?);

-- name: ended
SELECT f.number, f.state
FROM json_each(?) parent CROSS JOIN finished f ON f.number = parent.value;

-- name: error
INSERT INTO error VALUES(?, ?, ?);

-- name: line
INSERT INTO log VALUES(?, ?, ?, ?, ?, ?);

-- name: progress
INSERT INTO progress VALUES(?, ?, ?);
