-- name: holder
SELECT k.number, j.id, k.until, f.number IS NOT NULL
FROM ukey k CROSS JOIN job j ON j.number = k.number
LEFT JOIN finished f ON f.number = k.number WHERE k.key = ?;

-- name: take
INSERT INTO ukey VALUES(?, ?, ?);

-- name: free
DELETE FROM ukey WHERE number = ?;
