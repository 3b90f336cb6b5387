-- A job that was never moved is at the place in `ready` that its own row tells. A job found in no
-- table is on its way: the next look finds it.
-- name: places
WITH j AS MATERIALIZED (
  SELECT number, id, queue, task, flags, created, lift, priority, policy, expires
  FROM mainspring.job WHERE number = ANY(%(numbers)b::bigint[])
), p AS MATERIALIZED (
  SELECT number, state, 0 AS lane, 0::bigint AS score, attempt, claims, NULL::bigint AS token,
    last, did
  FROM mainspring.finished WHERE number = ANY(%(numbers)b::bigint[]) ORDER BY number FOR UPDATE
), r AS MATERIALIZED (
  SELECT number, 4::smallint, lane, score, attempt, claims, token, last, did
  FROM mainspring.running WHERE number = ANY(%(numbers)b::bigint[]) ORDER BY number FOR UPDATE
), l AS MATERIALIZED (
  SELECT number, state, lane, score, attempt, claims, NULL::bigint, last, did
  FROM mainspring.later WHERE number = ANY(%(numbers)b::bigint[]) ORDER BY number FOR UPDATE
), b AS MATERIALIZED (
  SELECT number, 2::smallint, 0, 0::bigint, 0, claims, NULL::bigint, last, did
  FROM mainspring.blocked WHERE number = ANY(%(numbers)b::bigint[]) ORDER BY number FOR UPDATE
), m AS MATERIALIZED (
  SELECT number, 3::smallint, lane, score, attempt, claims, NULL::bigint, last, did
  FROM mainspring.ready WHERE moved AND number = ANY(%(numbers)b::bigint[])
  ORDER BY number FOR UPDATE
), u AS MATERIALIZED (
  SELECT r.number, 3::smallint, r.lane, r.score, r.attempt, r.claims, NULL::bigint, r.last, r.did
  FROM j JOIN mainspring.ready r
    ON r.lane = -2 * j.queue AND r.score = j.created - j.lift AND r.number = j.number
  WHERE NOT r.moved ORDER BY r.number FOR UPDATE OF r
), s AS (
  TABLE p UNION ALL TABLE r UNION ALL TABLE l UNION ALL TABLE b UNION ALL TABLE m
  UNION ALL TABLE u
)
SELECT j.number, j.id, j.queue, j.task, j.flags, j.created, j.priority, j.policy, j.expires,
  s.state, s.lane, s.score, s.attempt, s.claims, s.token, s.last, s.did
FROM unnest(%(numbers)b::bigint[]) WITH ORDINALITY n(number, place)
JOIN j ON j.number = n.number LEFT JOIN s ON s.number = j.number ORDER BY n.place;
