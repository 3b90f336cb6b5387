-- name: ask
UPDATE mainspring.running SET cancel = coalesce(cancel, %s) WHERE number = ANY(%b::bigint[]);

-- name: lock
SELECT 1 FROM mainspring.job WHERE number = ANY(%b::bigint[]) ORDER BY number FOR UPDATE;

-- name: awaited
SELECT DISTINCT ON (e.parent) e.parent, j.id
FROM mainspring.edge e JOIN mainspring.job j ON j.number = e.child
WHERE e.parent = ANY(%b::bigint[]) AND e.state < 2;

-- name: ended_by_queue
SELECT queue, state, count(*) FROM mainspring.finished
WHERE number = ANY(%b::bigint[]) GROUP BY 1, 2;

-- name: marked
SELECT number, extra FROM mainspring.job
WHERE flags & %b::int <> 0 AND number = ANY(%b::bigint[]);

-- name: unmark
DELETE FROM mainspring.mark m
USING unnest(%b::bigint[], %b::bytea[], %b::bigint[]) t(kind, value, number)
WHERE m.kind = t.kind AND m.value = t.value AND m.number = t.number;

-- name: drop_body
DELETE FROM mainspring.job WHERE number = ANY(%b::bigint[]);

-- name: drop_finished
DELETE FROM mainspring.finished WHERE number = ANY(%b::bigint[]);

-- name: drop_errors
DELETE FROM mainspring.error WHERE number = ANY(%b::bigint[]);

-- name: drop_progress
DELETE FROM mainspring.progress WHERE number = ANY(%b::bigint[]);

-- name: drop_log
DELETE FROM mainspring.log WHERE number = ANY(%b::bigint[]);

-- name: drop_key
DELETE FROM mainspring.ukey WHERE number = ANY(%b::bigint[]);

-- name: drop_release
DELETE FROM mainspring.release WHERE parent = ANY(%b::bigint[]);

-- name: drop_parents
DELETE FROM mainspring.edge WHERE parent = ANY(%b::bigint[]);

-- name: drop_children
DELETE FROM mainspring.edge WHERE child = ANY(%b::bigint[]);

-- name: drop_new_edges
DELETE FROM mainspring.edge_new WHERE parent = ANY(%b::bigint[]) OR child = ANY(%b::bigint[]);
