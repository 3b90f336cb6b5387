-- One parameter holds all ids, sixteen bytes each, so that the statement is always the same.
-- name: numbers
WITH RECURSIVE place(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM place WHERE n + 1 < ?)
SELECT j.id, j.number FROM place CROSS JOIN job j ON j.id = substr(?, 16 * n + 1, 16);

-- name: records
SELECT j.number, j.id, coalesce(q.name, '#' || j.queue), coalesce(t.name, '#' || j.task),
  j.payload, j.priority, j.created, j.expires, p.body, j.headers, j.extra,
  CASE
    WHEN f.number IS NOT NULL THEN f.state WHEN r.number IS NOT NULL THEN 4
    WHEN l.number IS NOT NULL THEN l.state WHEN b.number IS NOT NULL THEN 2 ELSE 3
  END,
  coalesce(f.attempt, r.attempt, l.attempt, m.attempt, 0),
  coalesce(f.claims, r.claims, l.claims, b.claims, m.claims, 0),
  coalesce(l.due, b.due, r.score + r.lift, m.score + m.lift, iif(f.number, NULL, j.created)),
  coalesce(f.reason, l.reason), coalesce(g.started, iif(f.took > 0, f.at - f.took, NULL)), f.at, f.took, g.worker, r.token, f.result,
  s.percent, s.text, r.cancel,
  (SELECT body FROM error WHERE number = j.number ORDER BY claims DESC LIMIT 1)
FROM json_each(?) e CROSS JOIN job j ON j.number = e.value
LEFT JOIN queue q ON q.id = j.queue LEFT JOIN task t ON t.id = j.task
LEFT JOIN policy p ON p.id = j.policy
LEFT JOIN finished f ON f.number = j.number
LEFT JOIN running r ON r.number = j.number
LEFT JOIN granted g ON g.token = r.token
LEFT JOIN later l ON l.number = j.number
LEFT JOIN blocked b ON b.number = j.number
LEFT JOIN ready m INDEXED BY ready_moved ON m.number = j.number AND m.moved
LEFT JOIN progress s ON s.number = j.number;

-- name: counts
SELECT q.name, m.state, m.n FROM queue q LEFT JOIN meter m ON m.queue = q.id ORDER BY q.name;

-- name: history
SELECT e.body FROM job j CROSS JOIN error e ON e.number = j.number WHERE j.id = ? ORDER BY e.claims;

-- name: logs
SELECT l.at, l.attempt, l.text FROM job j CROSS JOIN log l ON l.number = j.number
WHERE j.id = ? ORDER BY l.line DESC LIMIT ?;

-- name: place
SELECT j.queue, p.score, p.number
FROM job j LEFT JOIN ready m INDEXED BY ready_moved ON m.number = j.number AND m.moved
CROSS JOIN ready p ON p.lane = coalesce(m.lane, -2 * j.queue)
  AND p.score = coalesce(m.score, j.created - j.lift) AND p.number = j.number
WHERE j.id = ?;

-- name: before
SELECT
  (SELECT count(*) FROM ready WHERE lane = :lane AND (score, number) < (:score, :number))
  + (SELECT count(*) FROM ready WHERE lane = :suspects AND (score, number) < (:score, :number));

-- name: workers
SELECT body FROM worker WHERE until > ? ORDER BY id;
