-- name: ours
SELECT to_regclass(%s) IS NOT NULL;

-- name: identity
SELECT value FROM mainspring.meta WHERE name = 'store';

-- name: savepoint
SAVEPOINT mainspring_insert;

-- name: undo
ROLLBACK TO SAVEPOINT mainspring_insert;

-- name: release
RELEASE SAVEPOINT mainspring_insert;

-- name: transaction
SELECT pg_current_xact_id()::text;

-- name: status
SELECT pg_xact_status(%s::text::xid8);

-- name: limit
SELECT set_config('idle_in_transaction_session_timeout', %s, true),
  set_config('statement_timeout', %s, true);

-- name: holds
SELECT 1 FROM mainspring.running WHERE number = %s::bigint AND token = %s::bigint;
