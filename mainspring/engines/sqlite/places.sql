-- A job that was never moved is at the place in `ready` that its own row tells.
-- name: places
SELECT j.number, j.id, j.queue, j.task, j.flags, j.created, j.priority, j.policy, j.expires,
  CASE
    WHEN f.number IS NOT NULL THEN f.state WHEN r.number IS NOT NULL THEN 4
    WHEN l.number IS NOT NULL THEN l.state WHEN b.number IS NOT NULL THEN 2 ELSE 3
  END,
  coalesce(r.lane, l.lane, m.lane, p.lane, 0), coalesce(r.score, l.score, m.score, p.score, 0),
  coalesce(f.attempt, r.attempt, l.attempt, m.attempt, 0),
  coalesce(f.claims, r.claims, l.claims, b.claims, m.claims, 0),
  r.token,
  coalesce(f.last, r.last, l.last, b.last, m.last, 0),
  coalesce(f.did, r.did, l.did, b.did, m.did, 0)
FROM json_each(?) e CROSS JOIN job j ON j.number = e.value
LEFT JOIN finished f ON f.number = j.number
LEFT JOIN running r ON r.number = j.number
LEFT JOIN later l ON l.number = j.number
LEFT JOIN blocked b ON b.number = j.number
LEFT JOIN ready m INDEXED BY ready_moved ON m.number = j.number AND m.moved
LEFT JOIN ready p
  ON p.lane = -2 * j.queue AND p.score = j.created - j.lift AND p.number = j.number;
