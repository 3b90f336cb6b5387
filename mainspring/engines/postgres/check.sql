-- name: one_place
SELECT format('job #%%s is in %%s places, expected 1', j.number, count(p.number))
FROM mainspring.job j LEFT JOIN (
  SELECT number FROM mainspring.ready UNION ALL SELECT number FROM mainspring.later UNION ALL
  SELECT number FROM mainspring.blocked UNION ALL SELECT number FROM mainspring.running UNION ALL
  SELECT number FROM mainspring.finished
) p ON p.number = j.number
GROUP BY j.number HAVING count(p.number) <> 1

-- name: orphans
SELECT format('%%s has a row of job #%%s, which does not exist', s.t, s.number) FROM (
  SELECT 'ready' AS t, number FROM mainspring.ready
  UNION ALL SELECT 'later', number FROM mainspring.later
  UNION ALL SELECT 'blocked', number FROM mainspring.blocked
  UNION ALL SELECT 'running', number FROM mainspring.running
  UNION ALL SELECT 'finished', number FROM mainspring.finished
  UNION ALL SELECT 'error', number FROM mainspring.error
  UNION ALL SELECT 'ukey', number FROM mainspring.ukey
  UNION ALL SELECT 'mark', number FROM mainspring.mark
  UNION ALL SELECT 'progress', number FROM mainspring.progress
  UNION ALL SELECT 'log', number FROM mainspring.log
  UNION ALL SELECT 'edge', child FROM mainspring.edge
  UNION ALL SELECT 'edge', parent FROM mainspring.edge
  UNION ALL SELECT 'release', parent FROM mainspring.release
) s WHERE NOT EXISTS(SELECT 1 FROM mainspring.job j WHERE j.number = s.number)

-- name: counts
SELECT format('queue %%s counts %%s jobs in state %%s, there are %%s',
  coalesce(min(q.name), '#' || s.queue), sum(s.told), s.state, sum(s.n))
FROM (
  SELECT queue, state, n AS told, 0 AS n FROM mainspring.meter WHERE queue > 0
  UNION ALL SELECT queue, state, 0, 1 FROM mainspring.finished
  UNION ALL SELECT queue, state, 0, 1 FROM mainspring.later
  UNION ALL SELECT queue, 2, 0, 1 FROM mainspring.blocked
  UNION ALL SELECT queue, 4, 0, 1 FROM mainspring.running
  UNION ALL SELECT -lane / 2, 3, 0, 1 FROM mainspring.ready
) s LEFT JOIN mainspring.queue q ON q.id = s.queue
GROUP BY s.queue, s.state HAVING sum(s.told) <> sum(s.n)

-- name: names
SELECT format('job #%%s names %%s that do not exist', j.number,
  CASE WHEN q.id IS NULL THEN 'a queue' WHEN t.id IS NULL THEN 'a task' ELSE 'a policy' END)
FROM mainspring.job j LEFT JOIN mainspring.queue q ON q.id = j.queue
LEFT JOIN mainspring.task t ON t.id = j.task
LEFT JOIN mainspring.policy p ON p.id = j.policy
WHERE q.id IS NULL OR t.id IS NULL OR p.id IS NULL

-- name: lanes
SELECT format('job #%%s of queue #%%s waits in lane %%s', r.number, j.queue, r.lane)
FROM mainspring.ready r JOIN mainspring.job j ON j.number = r.number
WHERE r.lane NOT IN (-2 * j.queue, -2 * j.queue - 1)

-- name: unmoved
SELECT format('job #%%s is not where its row says, and not marked as moved', r.number)
FROM mainspring.ready r JOIN mainspring.job j ON j.number = r.number
WHERE NOT r.moved AND (r.lane <> -2 * j.queue OR r.score <> j.created - j.lift)

-- name: grants
SELECT format('job #%%s runs under a grant that does not exist or does not reach to it', r.number)
FROM mainspring.running r LEFT JOIN mainspring.granted g ON g.token = r.token
WHERE g.token IS NULL OR r.number NOT BETWEEN g.low AND g.high

-- name: grants_left
SELECT format('a grant of worker %%s counts %%s jobs, it holds %%s', g.worker, g."left",
  count(r.number))
FROM mainspring.granted g LEFT JOIN mainspring.running r ON r.token = g.token
GROUP BY g.token HAVING count(r.number) <> g."left"

-- name: blocked
SELECT format('job #%%s is blocked, but waits for no job', b.number)
FROM mainspring.blocked b
WHERE NOT EXISTS(SELECT 1 FROM mainspring.edge WHERE child = b.number AND state = 1)

-- name: edges_of_unblocked
SELECT format('job #%%s waits for job #%%s, but is not blocked', e.child, e.parent)
FROM mainspring.edge e
WHERE e.state = 1 AND e.child NOT IN (SELECT number FROM mainspring.blocked)

-- name: edges_of_completed
SELECT format('job #%%s waits for job #%%s, which has completed', e.child, e.parent)
FROM mainspring.edge e JOIN mainspring.finished f ON f.number = e.parent
WHERE e.state = 1 AND (f.state = 6 OR e.anyway)
  AND NOT EXISTS(SELECT 1 FROM mainspring.release WHERE parent = e.parent AND after < e.child)
  AND NOT EXISTS(
    SELECT 1 FROM mainspring.edge_new n WHERE n.parent = e.parent AND n.child = e.child)

-- name: edges_of_ended
SELECT format('job #%%s has ended, but its edge to job #%%s is kept', e.child, e.parent)
FROM mainspring.edge e JOIN mainspring.finished f ON f.number = e.child WHERE e.state < 2

-- name: edges_broken
SELECT format('job #%%s is said to have been cancelled because of job #%%s, but has not ended',
  e.child, e.parent)
FROM mainspring.edge e
WHERE e.state = 2 AND e.child NOT IN (SELECT number FROM mainspring.finished)

-- name: releases
SELECT format('dependents of job #%%s are to be released, but it has not ended', r.parent)
FROM mainspring.release r WHERE r.parent NOT IN (SELECT number FROM mainspring.finished)

-- name: unkept_keys
SELECT format('job #%%s has a unique key and has not ended, but does not hold it', j.number)
FROM mainspring.job j WHERE j.flags & 1 <> 0
  AND NOT EXISTS(SELECT 1 FROM mainspring.finished f WHERE f.number = j.number)
  AND NOT EXISTS(SELECT 1 FROM mainspring.ukey k WHERE k.number = j.number)

-- name: expiries
SELECT format('job #%%s waits and has a time to live, but nothing will end it', s.number)
FROM (
  SELECT number, expires FROM mainspring.ready UNION ALL
  SELECT number, expires FROM mainspring.later UNION ALL
  SELECT number, expires FROM mainspring.blocked
) s JOIN mainspring.job j ON j.number = s.number
WHERE j.flags & 2 <> 0 AND s.expires IS DISTINCT FROM j.expires

-- name: versions
SELECT format('key %%s has version %%s, the last one given is %%s', k.key, k.version, s.last_value)
FROM mainspring.versions s CROSS JOIN mainspring.kv k
WHERE k.version NOT BETWEEN 1 AND s.last_value

-- name: versions_twice
SELECT format('keys %%s and %%s have the same version %%s', min(key), max(key), version)
FROM mainspring.kv GROUP BY version HAVING count(*) > 1

-- name: posts
SELECT format('%%s posts from #%%s to #%%s are kept, the first should be #%%s, the last one given is #%%s',
  k.n, k.low, k.high, s.first, s.last)
FROM mainspring.posting s CROSS JOIN (
  SELECT count(*) AS n, min(number) AS low, max(number) AS high, max(upto) AS upto FROM mainspring.post
) k
WHERE k.n <> s.last + 1 - s.first OR k.low <> s.first OR k.high <> s.last OR k.upto > s.weight
