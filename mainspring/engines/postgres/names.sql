-- name: find_queue
SELECT id FROM mainspring.queue WHERE name = %s;

-- name: add_queue
INSERT INTO mainspring.queue(name) VALUES(%s) ON CONFLICT DO NOTHING RETURNING id;

-- name: find_task
SELECT id FROM mainspring.task WHERE name = %s;

-- name: add_task
INSERT INTO mainspring.task(name) VALUES(%s) ON CONFLICT DO NOTHING RETURNING id;

-- name: find_policy
SELECT id FROM mainspring.policy WHERE body = %b::bytea;

-- name: add_policy
INSERT INTO mainspring.policy(body) VALUES(%b::bytea) ON CONFLICT DO NOTHING RETURNING id;

-- name: queue_value
SELECT name FROM mainspring.queue WHERE id = %b::bigint;

-- name: task_value
SELECT name FROM mainspring.task WHERE id = %b::bigint;

-- name: policy_value
SELECT body FROM mainspring.policy WHERE id = %b::bigint;
