-- name: survey
SELECT * FROM mainspring.survey(%b::bigint, %b::text[]);

-- name: how_many_due
SELECT count(*) FROM (
  SELECT 1 FROM mainspring.later WHERE queue = %b::bigint AND due <= %b::bigint
  ORDER BY due LIMIT %b::bigint
) s;

-- name: promote
WITH due AS MATERIALIZED (
  SELECT number FROM mainspring.later
  WHERE queue = %(queue)b::bigint AND due <= %(wall)b::bigint
  ORDER BY due LIMIT %(limit)b::bigint FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM mainspring.later WHERE number = ANY(ARRAY(SELECT number FROM due)) RETURNING *
), moved AS (
  INSERT INTO mainspring.ready
  SELECT score, number, lift, last, lane, task, attempt, claims, losses, did, careful, true,
    score < %(behind)b::bigint, expires
  FROM gone
)
SELECT state, count(*) FROM gone GROUP BY state;

-- name: promote_by_score
WITH due AS MATERIALIZED (
  SELECT number FROM mainspring.later
  WHERE queue = %(queue)b::bigint AND due <= %(wall)b::bigint
  ORDER BY score, number LIMIT %(limit)b::bigint FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM mainspring.later WHERE number = ANY(ARRAY(SELECT number FROM due)) RETURNING *
), moved AS (
  INSERT INTO mainspring.ready
  SELECT score, number, lift, last, lane, task, attempt, claims, losses, did, careful, true,
    score < %(behind)b::bigint, expires
  FROM gone
)
SELECT state, count(*) FROM gone GROUP BY state;

-- name: late
(SELECT number FROM mainspring.ready
  WHERE lane = -2 * %(queue)b::bigint AND expires <= %(wall)b::bigint
  ORDER BY expires LIMIT %(limit)b::bigint)
UNION ALL
(SELECT number FROM mainspring.ready
  WHERE lane = -2 * %(queue)b::bigint - 1 AND expires <= %(wall)b::bigint
  ORDER BY expires LIMIT %(limit)b::bigint)
UNION ALL
(SELECT number FROM mainspring.later
  WHERE queue = %(queue)b::bigint AND expires <= %(wall)b::bigint
  ORDER BY expires LIMIT %(limit)b::bigint)
UNION ALL
(SELECT number FROM mainspring.blocked
  WHERE queue = %(queue)b::bigint AND expires <= %(wall)b::bigint
  ORDER BY expires LIMIT %(limit)b::bigint)
LIMIT %(limit)b::bigint;

-- name: shares
SELECT lane, n FROM mainspring.shares(%b, %b, %b, %b::bigint, %b::bigint, %b::bigint, %b::bigint[],
  %b::int, %b::int);

-- name: take
SELECT * FROM mainspring.take(
  %b::bigint, %s, %b::bigint, %b::bigint, %b, %b, %b, %b, %b::int, %b::bigint[], %b::int,
  %b::int, %b::int);

-- name: tasks
SELECT id FROM mainspring.task WHERE name = ANY(%b::text[]);

-- name: grant
INSERT INTO mainspring.granted
VALUES(%b::bigint, %b::bigint, %b::bigint, %b::bigint, %b::bigint, %b::int, false, %s);

-- name: held
SELECT r.number, r.token, j.id, q.name, t.name, j.payload, r.attempt, r.claims, r.losses,
  j.created, r.score + r.lift, p.body, j.headers
FROM unnest(%b::bigint[]) WITH ORDINALITY e(token, place)
JOIN mainspring.granted g ON g.token = e.token
JOIN mainspring.running r ON r.number BETWEEN g.low AND g.high AND r.token = g.token
JOIN mainspring.job j ON j.number = r.number JOIN mainspring.queue q ON q.id = r.queue
JOIN mainspring.task t ON t.id = j.task JOIN mainspring.policy p ON p.id = j.policy
ORDER BY e.place, r.score, r.number;
