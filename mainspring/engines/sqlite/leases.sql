-- name: presence
SELECT body FROM worker WHERE id = ?;

-- name: absent
DELETE FROM worker WHERE id = ?;

-- name: present
INSERT INTO worker VALUES(?, ?, ?, NULL)
ON CONFLICT DO UPDATE SET until = excluded.until, body = excluded.body RETURNING wanted;

-- name: instruct
UPDATE worker SET wanted = json_patch(coalesce(wanted, '{}'), ?)
WHERE id IN (SELECT value FROM json_each(?)) RETURNING id;

-- name: unpark
UPDATE later SET due = ?1
WHERE reason = 'unknown task' AND due > ?1 AND number IN (
  SELECT l.number FROM later l INDEXED BY later_parked CROSS JOIN job j ON j.number = l.number
  WHERE l.reason = 'unknown task'
    AND j.task IN (SELECT t.id FROM json_each(?2) e CROSS JOIN task t ON t.name = e.value)
);

-- name: renew
UPDATE granted SET expires = ?
WHERE token IN (SELECT value FROM json_each(?)) AND "left" > 0 AND NOT lost;

-- name: lost
SELECT value FROM json_each(?) e LEFT JOIN granted g ON g.token = e.value
WHERE g.token IS NULL OR g.lost;

-- name: cancels
SELECT number FROM running INDEXED BY running_cancel
WHERE cancel IS NOT NULL AND token IN (SELECT value FROM json_each(?)) ORDER BY number;

-- name: paused
SELECT name FROM queue WHERE paused ORDER BY name;

-- name: holders
SELECT r.number, r.token, r.attempt FROM json_each(?) e CROSS JOIN running r ON r.number = e.value;

-- name: progress
INSERT INTO progress VALUES(?, ?, ?)
ON CONFLICT DO UPDATE SET percent = excluded.percent, text = excluded.text;

-- name: last_line
SELECT line, size FROM log WHERE number = ? ORDER BY line DESC LIMIT 1;

-- name: last_lines
SELECT at, text FROM log WHERE number = ? ORDER BY line DESC LIMIT ?;

-- name: line
INSERT INTO log VALUES(?, ?, ?, ?, ?, ?);

-- name: old_lines
DELETE FROM log WHERE number = ? AND (line <= ? OR size <= ?);

-- name: known
SELECT 1 FROM granted WHERE token = ?;

-- name: expired
SELECT token, low, high FROM granted WHERE "left" > 0 AND expires <= ? ORDER BY expires;

-- name: held_by
SELECT number FROM running WHERE number BETWEEN ? AND ? AND token = ? ORDER BY number LIMIT ?;

-- name: take_over
UPDATE running SET token = ? WHERE number IN (SELECT value FROM json_each(?));

-- name: lose
UPDATE granted SET "left" = "left" - ?, lost = 1 WHERE token = ?;

-- name: reclaimable
SELECT EXISTS(SELECT 1 FROM granted WHERE "left" > 0 AND expires <= ?)
  OR EXISTS(SELECT 1 FROM granted WHERE token = ?);
