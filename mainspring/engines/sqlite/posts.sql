-- name: given
UPDATE posting SET last = last + :n, weight = weight + :weight RETURNING last, weight;

-- name: post
INSERT INTO post(number, at, upto, topic, headers, body) VALUES(?, ?, ?, ?, ?, ?);

-- name: kept
SELECT last, first FROM posting;

-- name: posts
SELECT number, at, topic, headers, body FROM post WHERE number > ? ORDER BY number LIMIT ?;

-- name: any_old
SELECT EXISTS(
  SELECT 1 FROM posting s CROSS JOIN post p ON p.number = s.first
  WHERE p.at <= :old OR p.upto <= s.weight - :most);

-- From the oldest on, up to the first that stays.
-- name: stays
SELECT coalesce(
  (SELECT p.number FROM posting s CROSS JOIN post p ON p.number >= s.first
   WHERE p.number < s.first + :limit AND p.at > :old AND p.upto > s.weight - :most
   ORDER BY p.number LIMIT 1),
  (SELECT min(s.first + :limit, s.last + 1) FROM posting s));

-- name: prune
DELETE FROM post WHERE number < ?;

-- name: pruned
UPDATE posting SET first = ?;
