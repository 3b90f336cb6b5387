-- name: one_place
SELECT printf('job #%d is in %d places, expected 1', j.number, count(p.number))
FROM job j LEFT JOIN (
  SELECT number FROM ready UNION ALL SELECT number FROM later UNION ALL
  SELECT number FROM blocked UNION ALL SELECT number FROM running UNION ALL
  SELECT number FROM finished
) p ON p.number = j.number
GROUP BY j.number HAVING count(p.number) <> 1

-- name: orphans
SELECT printf('%s has a row of job #%d, which does not exist', t, number) FROM (
  SELECT 'ready' AS t, number FROM ready UNION ALL SELECT 'later', number FROM later UNION ALL
  SELECT 'blocked', number FROM blocked UNION ALL SELECT 'running', number FROM running UNION ALL
  SELECT 'finished', number FROM finished UNION ALL SELECT 'error', number FROM error UNION ALL
  SELECT 'ukey', number FROM ukey UNION ALL SELECT 'expiry', number FROM expiry UNION ALL
  SELECT 'mark', number FROM mark UNION ALL SELECT 'progress', number FROM progress UNION ALL
  SELECT 'log', number FROM log UNION ALL SELECT 'edge', child FROM edge UNION ALL
  SELECT 'edge', parent FROM edge UNION ALL SELECT 'release', abs(parent) FROM release
) WHERE number NOT IN (SELECT number FROM job)

-- name: counts
SELECT printf('queue %s counts %d jobs in state %d, there are %d',
  coalesce(q.name, '#' || s.queue), sum(s.told), s.state, sum(s.n))
FROM (
  SELECT queue, state, n AS told, 0 AS n FROM meter WHERE queue > 0
  UNION ALL SELECT queue, state, 0, 1 FROM finished
  UNION ALL SELECT queue, state, 0, 1 FROM later
  UNION ALL SELECT queue, 2, 0, 1 FROM blocked
  UNION ALL SELECT queue, 4, 0, 1 FROM running
  UNION ALL SELECT -lane / 2, 3, 0, 1 FROM ready
) s LEFT JOIN queue q ON q.id = s.queue
GROUP BY s.queue, s.state HAVING sum(s.told) <> sum(s.n)

-- name: number
SELECT printf('the last number given is %d, job #%d exists', m.n, j.number)
FROM meter m CROSS JOIN (SELECT max(number) AS number FROM job) j
WHERE m.queue = 0 AND m.state = 0 AND j.number > m.n

-- name: names
SELECT printf('job #%d names %s that do not exist', j.number,
  iif(q.id IS NULL, 'a queue', iif(t.id IS NULL, 'a task', 'a policy')))
FROM job j LEFT JOIN queue q ON q.id = j.queue LEFT JOIN task t ON t.id = j.task
LEFT JOIN policy p ON p.id = j.policy
WHERE q.id IS NULL OR t.id IS NULL OR p.id IS NULL

-- name: columns
SELECT printf('job #%d: %s in the file, expected %s', number,
  iif(typeof(id) <> 'blob' OR length(id) <> 16, 'its id is ' || length(id) || ' of ' || typeof(id),
    iif(typeof(payload) <> 'blob', 'its payload is ' || typeof(payload),
      'its time is ' || typeof(created))),
  iif(typeof(id) <> 'blob' OR length(id) <> 16, '16 of blob',
    iif(typeof(payload) <> 'blob', 'blob', 'integer')))
FROM job
WHERE typeof(id) <> 'blob' OR length(id) <> 16 OR typeof(payload) <> 'blob'
  OR typeof(created) <> 'integer'

-- name: headers
SELECT number, headers FROM job WHERE headers IS NOT NULL

-- name: extras
SELECT number, extra FROM job WHERE extra IS NOT NULL

-- name: policies
SELECT min(j.number), p.body FROM job j CROSS JOIN policy p ON p.id = j.policy GROUP BY j.policy

-- name: lanes
SELECT printf('job #%d of queue #%d waits in lane %d', r.number, j.queue, r.lane)
FROM ready r CROSS JOIN job j ON j.number = r.number
WHERE r.lane NOT IN (-2 * j.queue, -2 * j.queue - 1)

-- name: unmoved
SELECT printf('job #%d is not where its row says, and not marked as moved', r.number)
FROM ready r CROSS JOIN job j ON j.number = r.number
WHERE NOT r.moved AND (r.lane <> -2 * j.queue OR r.score <> j.created - j.lift)

-- name: grants
SELECT printf('job #%d runs under a grant that does not exist or does not reach to it', r.number)
FROM running r LEFT JOIN granted g ON g.token = r.token
WHERE g.token IS NULL OR r.number NOT BETWEEN g.low AND g.high

-- name: grants_left
SELECT printf('a grant of worker %s counts %d jobs, it holds %d', g.worker, g."left",
  count(r.number))
FROM granted g LEFT JOIN running r ON r.token = g.token
GROUP BY g.token HAVING count(r.number) <> g."left"

-- name: blocked
SELECT printf('job #%d is blocked, but waits for no job', b.number)
FROM blocked b WHERE NOT EXISTS(SELECT 1 FROM edge WHERE child = b.number AND state = 1)

-- name: edges_of_unblocked
SELECT printf('job #%d waits for job #%d, but is not blocked', e.child, e.parent)
FROM edge e WHERE e.state = 1 AND e.child NOT IN (SELECT number FROM blocked)

-- name: edges_of_completed
SELECT printf('job #%d waits for job #%d, which has completed', e.child, e.parent)
FROM edge e CROSS JOIN finished f ON f.number = e.parent
WHERE e.state = 1 AND (f.state = 6 OR e.anyway)
  AND NOT EXISTS(SELECT 1 FROM release WHERE parent = e.parent AND after < e.child)

-- name: edges_of_ended
SELECT printf('job #%d has ended, but its edge to job #%d is kept', e.child, e.parent)
FROM edge e CROSS JOIN finished f ON f.number = e.child WHERE e.state < 2

-- name: edges_broken
SELECT printf('job #%d is said to have been cancelled because of job #%d, but has not ended',
  e.child, e.parent)
FROM edge e WHERE e.state = 2 AND e.child NOT IN (SELECT number FROM finished)

-- name: releases
SELECT printf('dependents of job #%d are to be released, but it has not ended', r.parent)
FROM release r WHERE r.parent > 0 AND r.parent NOT IN (SELECT number FROM finished)

-- name: unkept_keys
SELECT printf('job #%d has a unique key and has not ended, but does not hold it', j.number)
FROM job j WHERE j.flags & 1 AND j.number NOT IN (SELECT number FROM finished)
  AND j.number NOT IN (SELECT number FROM ukey)

-- name: expiries
SELECT printf('job #%d waits and has a time to live, but nothing will end it', j.number)
FROM job j
WHERE j.flags & 2 AND j.number NOT IN (SELECT number FROM finished)
  AND j.number NOT IN (SELECT number FROM running)
  AND NOT EXISTS(
    SELECT 1 FROM expiry WHERE queue = j.queue AND at = j.expires AND number = j.number)

-- name: expiries_of_others
SELECT printf('job #%d does not wait, but is to expire', e.number)
FROM expiry e WHERE e.number IN (SELECT number FROM finished)
  OR e.number IN (SELECT number FROM running)

-- name: versions
SELECT printf('key %s has version %d, the last one given is %d', k.key, k.version, m.n)
FROM meter m CROSS JOIN kv k WHERE m.queue = 0 AND m.state = 1 AND k.version NOT BETWEEN 1 AND m.n

-- name: versions_twice
SELECT printf('keys %s and %s have the same version %d', min(key), max(key), version)
FROM kv GROUP BY version HAVING count(*) > 1

-- name: entries
SELECT printf('key %s: its value is %s in the file, its end %s', key, typeof(value),
  typeof(expires))
FROM kv WHERE typeof(value) <> 'blob' OR typeof(expires) NOT IN ('integer', 'null')

-- name: posts
SELECT printf('%d posts from #%d to #%d are kept, the first should be #%d, the last one given is #%d',
  k.n, k.low, k.high, s.first, s.last)
FROM posting s
CROSS JOIN (SELECT count(*) AS n, min(number) AS low, max(number) AS high, max(upto) AS upto FROM post) k
WHERE k.n <> s.last + 1 - s.first OR k.low <> s.first OR k.high <> s.last OR k.upto > s.weight

-- name: post_columns
SELECT printf('post #%d: its topic is %s in the file, its body %s', number, typeof(topic),
  typeof(body))
FROM post WHERE typeof(topic) <> 'text' OR typeof(body) <> 'blob'
