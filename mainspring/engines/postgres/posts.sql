-- name: post
WITH given AS (
  UPDATE mainspring.posting SET last = last + %(n)b::bigint, weight = weight + %(weight)b::bigint
  RETURNING last - %(n)b::bigint AS last, weight - %(weight)b::bigint AS weight
), added AS (
  INSERT INTO mainspring.post(number, at, upto, topic, headers, body)
  SELECT g.last + p.place, %(at)b::bigint, g.weight + p.upto, p.topic, p.headers, p.body
  FROM given g CROSS JOIN unnest(
    %(upto)b::bigint[], %(topics)b::text[], %(headers)b::bytea[], %(bodies)b::bytea[]
  ) WITH ORDINALITY p(upto, topic, headers, body, place)
)
SELECT last FROM given;

-- One statement, so that both are of one moment.
-- name: posts
SELECT s.last, s.first, p.number, p.at, p.topic, p.headers, p.body
FROM mainspring.posting s LEFT JOIN LATERAL (
  SELECT * FROM mainspring.post WHERE number > %b::bigint ORDER BY number LIMIT %b::bigint
) p ON true
ORDER BY p.number;

-- name: last
SELECT last FROM mainspring.posting;

-- name: any_old
SELECT EXISTS(
  SELECT 1 FROM mainspring.posting s JOIN mainspring.post p ON p.number = s.first
  WHERE p.at <= %(old)b::bigint OR p.upto <= s.weight - %(most)b::bigint);

-- name: lock
SELECT last FROM mainspring.posting FOR UPDATE;

-- From the oldest on, up to the first that stays.
-- name: stays
SELECT coalesce(
  (SELECT p.number FROM mainspring.post p
   WHERE p.number >= s.first AND p.number < s.first + %(limit)b::bigint
     AND p.at > %(old)b::bigint AND p.upto > s.weight - %(most)b::bigint
   ORDER BY p.number LIMIT 1),
  least(s.first + %(limit)b::bigint, s.last + 1))
FROM mainspring.posting s;

-- name: prune
WITH gone AS (
  DELETE FROM mainspring.post p USING mainspring.posting s
  WHERE p.number >= s.first AND p.number < %(stays)b::bigint
), pruned AS (
  UPDATE mainspring.posting SET first = %(stays)b::bigint WHERE first < %(stays)b::bigint
)
SELECT %(stays)b::bigint - first FROM mainspring.posting;
