-- name: count
INSERT INTO mainspring.meter
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[]);
