-- name: ready
SELECT r.number, j.id, j.payload, r.attempt + 1, r.claims + 1, r.losses,
  j.created, r.score + r.lift, j.headers, j.policy, r.score,
  ? | (j.task << 8) | (r.careful << 6) | j.flags
FROM ready r CROSS JOIN job j ON j.number = r.number
WHERE r.lane = ? AND (r.score, r.number) > (?, ?) ORDER BY r.score, r.number LIMIT ?;

-- name: of_priorities
SELECT j.number FROM json_each(?) e CROSS JOIN job j ON j.number = e.value
WHERE j.priority BETWEEN ? AND ?;

-- name: tasks
SELECT t.id FROM json_each(?) e CROSS JOIN task t ON t.name = e.value;
