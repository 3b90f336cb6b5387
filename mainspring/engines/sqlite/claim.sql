-- name: due
SELECT number, state FROM later WHERE queue = ? AND due <= ? ORDER BY due LIMIT ?;

-- name: due_by_score
SELECT number, state FROM later INDEXED BY later_score
WHERE queue = ? AND due <= ? ORDER BY score, number LIMIT ?;

-- name: promote
INSERT INTO ready
SELECT l.lane, l.score, l.number, l.lift, 1, l.attempt, l.claims, l.losses, l.careful, l.last, l.did
FROM json_each(?) e CROSS JOIN later l ON l.number = e.value;

-- name: unlater
DELETE FROM later WHERE number IN (SELECT value FROM json_each(?));

-- name: late
SELECT number FROM expiry WHERE queue = ? AND at <= ? ORDER BY at LIMIT ?;

-- name: late_among
SELECT j.number FROM json_each(?) e CROSS JOIN job j ON j.number = e.value WHERE j.expires <= ?;

-- name: run
INSERT INTO running
SELECT number, ?, ?, lane, score, lift, attempt + 1, claims + 1, losses, last, did, NULL
FROM ready WHERE lane = ? AND (score, number) <= (?, ?);

-- name: unready
DELETE FROM ready WHERE lane = ? AND (score, number) <= (?, ?);

-- name: run_some
INSERT INTO running
SELECT r.number, ?, ?, r.lane, r.score, r.lift, r.attempt + 1, r.claims + 1, r.losses,
  r.last, r.did, NULL
FROM json_each(?) e CROSS JOIN ready r ON r.lane = ?
  AND r.score = json_extract(e.value, '$[0]') AND r.number = json_extract(e.value, '$[1]');

-- name: unready_some
DELETE FROM ready WHERE (lane, score, number) IN (
  SELECT ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
);

-- name: unexpire
DELETE FROM expiry WHERE (queue, at, number) IN (
  SELECT j.queue, j.expires, j.number FROM json_each(?) e CROSS JOIN job j ON j.number = e.value
);

-- name: grant
INSERT INTO granted VALUES(?, ?, ?, ?, ?, ?, ?, 0);

-- name: held
SELECT r.number, r.token, j.id, q.name, t.name, j.payload, r.attempt, r.claims, r.losses,
  j.created, r.score + r.lift, p.body, j.headers
FROM json_each(?) e CROSS JOIN granted g ON g.token = e.value
CROSS JOIN running r ON r.number BETWEEN g.low AND g.high AND r.token = g.token
CROSS JOIN job j ON j.number = r.number CROSS JOIN queue q ON q.id = r.queue
CROSS JOIN task t ON t.id = j.task CROSS JOIN policy p ON p.id = j.policy
ORDER BY e.key, r.score, r.number;
