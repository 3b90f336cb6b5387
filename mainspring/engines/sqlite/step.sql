-- name: count
INSERT INTO meter VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n;

-- name: counts
INSERT INTO meter
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each(?) WHERE true
ON CONFLICT DO UPDATE SET n = n + excluded.n;
