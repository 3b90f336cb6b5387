-- name: jobs
SELECT j.number, j.id, q.name, t.name, j.payload, j.priority::bigint, j.created, j.expires, p.body,
  j.headers, j.extra,
  CASE
    WHEN f.number IS NOT NULL THEN f.state WHEN r.number IS NOT NULL THEN 4
    WHEN l.number IS NOT NULL THEN l.state WHEN b.number IS NOT NULL THEN 2 ELSE 3
  END::bigint,
  coalesce(f.attempt, r.attempt, l.attempt, m.attempt, u.attempt, 0)::bigint,
  coalesce(f.claims, r.claims, l.claims, b.claims, m.claims, u.claims, 0)::bigint,
  coalesce(l.losses, m.losses, u.losses, 0)::bigint,
  coalesce(l.careful, m.careful, u.careful, false),
  (coalesce(l.lane, m.lane, u.lane, 0) & 1) <> 0,
  coalesce(l.due, b.due, m.score + m.lift, u.score + u.lift, 0),
  coalesce(l.score, m.score, u.score, 0), coalesce(l.lift, m.lift, u.lift, j.lift),
  k.until, coalesce(f.reason, l.reason), f.at, coalesce(f.took, 0), f.keep, f.result,
  s.percent, s.text
FROM (
  SELECT * FROM mainspring.job WHERE number > %b::bigint ORDER BY number LIMIT %b::bigint
) j
LEFT JOIN mainspring.queue q ON q.id = j.queue LEFT JOIN mainspring.task t ON t.id = j.task
LEFT JOIN mainspring.policy p ON p.id = j.policy
LEFT JOIN mainspring.finished f ON f.number = j.number
LEFT JOIN mainspring.running r ON r.number = j.number
LEFT JOIN mainspring.later l ON l.number = j.number
LEFT JOIN mainspring.blocked b ON b.number = j.number
LEFT JOIN mainspring.ready m ON m.number = j.number AND m.moved
LEFT JOIN mainspring.ready u
  ON u.lane = -2 * j.queue AND u.score = j.created - j.lift AND u.number = j.number
LEFT JOIN mainspring.ukey k ON k.number = j.number
LEFT JOIN mainspring.progress s ON s.number = j.number
ORDER BY j.number;

-- name: waits
SELECT e.child, p.id, e.anyway, e.state::bigint
FROM mainspring.edge e JOIN mainspring.job p ON p.number = e.parent
WHERE e.child = ANY(%b::bigint[]) ORDER BY e.child, e.parent;

-- name: errors
SELECT number, body FROM mainspring.error WHERE number = ANY(%b::bigint[]) ORDER BY number, claims;

-- name: lines
SELECT number, at, attempt::bigint, text FROM mainspring.log
WHERE number = ANY(%b::bigint[]) ORDER BY number, line;

-- name: known
SELECT id, number FROM mainspring.job WHERE id = ANY(%b::bytea[]);

-- name: numbers
SELECT nextval('mainspring.numbers') FROM generate_series(1, %b::bigint);

-- name: job
INSERT INTO mainspring.job
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[],
  %b::bytea[]);

-- A score behind the clock is found apart.
-- name: ready
INSERT INTO mainspring.ready
SELECT score, number, lift, 0, lane, task, attempt, claims, losses, 0, careful <> 0, moved <> 0,
  score < %b::bigint - 2000000, expires
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
  t(score, number, lift, lane, task, attempt, claims, losses, careful, moved, expires);

-- name: later
INSERT INTO mainspring.later
SELECT number, due, score, lift, 0, expires, queue, lane, task, attempt, claims, losses, state, 0,
  kept <> 0, careful <> 0, reason
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::text[])
  t(number, due, score, lift, expires, queue, lane, task, attempt, claims, losses, state, kept,
    careful, reason);

-- name: blocked
INSERT INTO mainspring.blocked
SELECT number, due, 0, expires, queue, claims, 0
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
  t(number, due, expires, queue, claims);

-- name: finished
INSERT INTO mainspring.finished
SELECT number, at, took, 0, keep, queue, attempt, claims, state, 0, reason, result
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::text[], %b::bytea[])
  t(number, at, took, keep, queue, attempt, claims, state, reason, result);

-- name: mark
INSERT INTO mainspring.mark SELECT * FROM unnest(%b::bigint[], %b::bytea[], %b::bigint[]);

-- name: untied
SELECT t.number, b.number IS NOT NULL, f.at FROM unnest(%b::bigint[]) t(number)
LEFT JOIN mainspring.blocked b ON b.number = t.number
LEFT JOIN mainspring.finished f ON f.number = t.number
WHERE NOT EXISTS(SELECT 1 FROM mainspring.edge e WHERE e.child = t.number);

-- name: edge
INSERT INTO mainspring.edge
SELECT parent, child, anyway <> 0, state
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) t(parent, child, anyway, state);

-- name: ended
SELECT number, state FROM mainspring.finished WHERE number = ANY(%b::bigint[]);

-- name: error
INSERT INTO mainspring.error SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[]);

-- name: line
INSERT INTO mainspring.log
SELECT number, line, at, attempt, size, text
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[])
  t(number, line, at, attempt, size, text);

-- name: progress
INSERT INTO mainspring.progress VALUES(%b::bigint, %b::double precision, %s::text);
