-- name: add_stat
INSERT INTO mainspring.stat AS s
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (minute, queue, task) DO UPDATE SET
  started = s.started + excluded.started, completed = s.completed + excluded.completed,
  failed = s.failed + excluded.failed, retried = s.retried + excluded.retried,
  waited = s.waited + excluded.waited, ran = s.ran + excluded.ran;

-- name: add_histogram
INSERT INTO mainspring.histogram AS h
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::bigint[])
ON CONFLICT (minute, queue, task, kind, bucket) DO UPDATE SET n = h.n + excluded.n;

-- name: stats
SELECT s.minute, q.name, t.name,
  s.started, s.completed, s.failed, s.retried, s.waited, s.ran
FROM mainspring.stat s JOIN mainspring.queue q ON q.id = s.queue
JOIN mainspring.task t ON t.id = s.task
WHERE s.minute >= %b::bigint ORDER BY s.minute, q.name, t.name;

-- name: histograms
SELECT h.minute, q.name, t.name, h.kind, h.bucket, h.n
FROM mainspring.histogram h JOIN mainspring.queue q ON q.id = h.queue
JOIN mainspring.task t ON t.id = h.task
WHERE h.minute >= %b::bigint;
