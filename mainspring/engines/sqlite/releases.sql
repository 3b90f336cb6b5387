-- name: next
SELECT r.parent, f.state, r.after FROM release r LEFT JOIN finished f ON f.number = abs(r.parent)
WHERE r.parent < 0 OR f.number IS NOT NULL LIMIT 1;
