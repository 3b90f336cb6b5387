-- name: find_queue
SELECT id FROM queue WHERE name = ?;

-- name: add_queue
INSERT INTO queue(name) VALUES(?) RETURNING id;

-- name: find_task
SELECT id FROM task WHERE name = ?;

-- name: add_task
INSERT INTO task(name) VALUES(?) RETURNING id;

-- name: find_policy
SELECT id FROM policy WHERE body = ?;

-- name: add_policy
INSERT INTO policy(body) VALUES(?) RETURNING id;

-- name: queue_value
SELECT name FROM queue WHERE id = ?;

-- name: task_value
SELECT name FROM task WHERE id = ?;

-- name: policy_value
SELECT body FROM policy WHERE id = ?;
