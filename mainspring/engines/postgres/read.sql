-- name: numbers
SELECT id, number FROM mainspring.job WHERE id = ANY(%b::bytea[]);

-- name: records
SELECT j.number, j.id, q.name, t.name, j.payload, j.priority, j.created, j.expires, p.body,
  j.headers, j.extra,
  CASE
    WHEN f.number IS NOT NULL THEN f.state WHEN r.number IS NOT NULL THEN 4
    WHEN l.number IS NOT NULL THEN l.state WHEN b.number IS NOT NULL THEN 2 ELSE 3
  END,
  coalesce(f.attempt, r.attempt, l.attempt, m.attempt, 0),
  coalesce(f.claims, r.claims, l.claims, b.claims, m.claims, 0),
  coalesce(l.due, b.due, r.score + r.lift, m.score + m.lift,
    CASE WHEN f.number IS NULL THEN j.created END),
  coalesce(f.reason, l.reason),
  coalesce(g.started, CASE WHEN f.took > 0 THEN f.at - f.took END), f.at, f.took, g.worker,
  f.result, s.percent, s.text, r.cancel,
  (SELECT body FROM mainspring.error WHERE number = j.number ORDER BY claims DESC LIMIT 1)
FROM unnest(%(numbers)b::bigint[]) WITH ORDINALITY e(number, place)
JOIN mainspring.job j ON j.number = e.number
JOIN mainspring.queue q ON q.id = j.queue JOIN mainspring.task t ON t.id = j.task
JOIN mainspring.policy p ON p.id = j.policy
LEFT JOIN mainspring.finished f ON f.number = j.number
LEFT JOIN mainspring.running r ON r.number = j.number
LEFT JOIN mainspring.granted g ON g.token = r.token
LEFT JOIN mainspring.later l ON l.number = j.number
LEFT JOIN mainspring.blocked b ON b.number = j.number
LEFT JOIN mainspring.ready m ON m.number = j.number AND m.moved
LEFT JOIN mainspring.progress s ON s.number = j.number
ORDER BY e.place;

-- name: counts
SELECT q.name, m.state, sum(m.n)::bigint
FROM mainspring.queue q LEFT JOIN mainspring.meter m ON m.queue = q.id
GROUP BY q.name, m.state ORDER BY q.name;

-- name: history
SELECT e.body FROM mainspring.job j JOIN mainspring.error e ON e.number = j.number
WHERE j.id = %b::bytea ORDER BY e.claims;

-- name: logs
SELECT l.at, l.attempt, l.text FROM mainspring.job j JOIN mainspring.log l ON l.number = j.number
WHERE j.id = %b::bytea ORDER BY l.line DESC LIMIT %b::bigint;

-- name: place
SELECT j.queue, p.score, p.number
FROM mainspring.job j LEFT JOIN mainspring.ready m ON m.number = j.number AND m.moved
JOIN mainspring.ready p ON p.lane = coalesce(m.lane, -2 * j.queue)
  AND p.score = coalesce(m.score, j.created - j.lift) AND p.number = j.number
WHERE j.id = %b::bytea;

-- name: before
SELECT
  (SELECT count(*) FROM mainspring.ready WHERE lane = %(lane)b::int
    AND (score, number) < (%(score)b::bigint, %(number)b::bigint))
  + (SELECT count(*) FROM mainspring.ready WHERE lane = %(suspects)b::int
    AND (score, number) < (%(score)b::bigint, %(number)b::bigint));

-- name: workers
SELECT body FROM mainspring.worker WHERE until > %b::bigint ORDER BY id;
