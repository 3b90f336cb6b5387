-- name: add_stat
INSERT INTO stat VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  started = started + excluded.started, completed = completed + excluded.completed,
  failed = failed + excluded.failed, retried = retried + excluded.retried,
  waited = waited + excluded.waited, ran = ran + excluded.ran;

-- name: add_histogram
INSERT INTO histogram VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n;

-- name: stats
SELECT s.minute, q.name, t.name,
  s.started, s.completed, s.failed, s.retried, s.waited, s.ran
FROM stat s CROSS JOIN queue q ON q.id = s.queue CROSS JOIN task t ON t.id = s.task
WHERE s.minute >= ? ORDER BY s.minute, q.name, t.name;

-- name: histograms
SELECT h.minute, q.name, t.name, h.kind, h.bucket, h.n
FROM histogram h CROSS JOIN queue q ON q.id = h.queue CROSS JOIN task t ON t.id = h.task
WHERE h.minute >= ?;
