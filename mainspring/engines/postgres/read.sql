-- name: by_id
SELECT * FROM mainspring.records(NULL, %b::bytea[]);

-- name: by_number
SELECT * FROM mainspring.records(%b::bigint[], NULL);

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
