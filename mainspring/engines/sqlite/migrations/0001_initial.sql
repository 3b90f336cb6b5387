-- What a job is stands in `job`, written once. Where it stands is one row in exactly one of
-- `ready`, `later`, `blocked`, `running`, `finished`, so that a claim reads only what can be
-- claimed. In each of them `last` and `did` are the token and the target state of the last
-- transition, by which a repeated one is known.
--
-- States: 1 scheduled, 2 blocked, 3 pending, 4 running, 5 retrying, 6 completed, 7 failed,
-- 8 cancelled. Times are microseconds; columns that are nearly always 0 or 1 take no space.

CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Jobs by queue and state. (0, 0) is the number given last: it shares their page, so that an
-- insert writes one page less. (0, 1) is the version that an entry of the key-value store got last,
-- (0, 2) how many queues have a `max_depth`. Of queue q, (-q, 0) are the jobs that were removed, and
-- (-q, state) those that have left this final state.
CREATE TABLE meter(
  queue INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(queue, state)
) WITHOUT ROWID;

CREATE TABLE queue(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  paused INTEGER NOT NULL DEFAULT 0, by_hand INTEGER NOT NULL DEFAULT 0,
  aging INTEGER NOT NULL DEFAULT 60000000,
  keep_completed INTEGER NOT NULL DEFAULT 86400000000,
  keep_cancelled INTEGER NOT NULL DEFAULT 86400000000,
  keep_failed INTEGER NOT NULL DEFAULT 1209600000000,
  max_retries INTEGER NOT NULL DEFAULT 3, retry_delays BLOB NOT NULL DEFAULT x'',
  ack_deadline INTEGER NOT NULL DEFAULT 30000000, max_depth INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE task(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE policy(id INTEGER PRIMARY KEY, body BLOB NOT NULL UNIQUE);

-- `flags`: 1 unique key, 2 time to live, 4 tags or key, 8 edges, 16 own retention, 32 no retries.
-- `lift` is priority × aging as it was at the insert; `expires` a moment.
CREATE TABLE job(
  number INTEGER PRIMARY KEY, id BLOB NOT NULL,
  queue INTEGER NOT NULL, task INTEGER NOT NULL, flags INTEGER NOT NULL,
  created INTEGER NOT NULL, priority INTEGER NOT NULL, lift INTEGER NOT NULL,
  policy INTEGER NOT NULL, expires INTEGER, payload BLOB NOT NULL, headers BLOB, extra BLOB
);
CREATE UNIQUE INDEX job_id ON job(id);

-- Lane -2q is the default lane of queue q, -2q-1 the lane of its suspects. due = score + lift.
-- A row that is not at (default lane, created - lift) is `moved`, and found by its number.
CREATE TABLE ready(
  lane INTEGER NOT NULL, score INTEGER NOT NULL, number INTEGER NOT NULL,
  lift INTEGER NOT NULL, moved INTEGER NOT NULL, attempt INTEGER NOT NULL,
  claims INTEGER NOT NULL, losses INTEGER NOT NULL, careful INTEGER NOT NULL,
  last INTEGER NOT NULL, did INTEGER NOT NULL,
  PRIMARY KEY(lane, score, number)
) WITHOUT ROWID;
CREATE INDEX ready_moved ON ready(number) WHERE moved;

-- `kept`: the score is an old one and does not follow from `due`.
CREATE TABLE later(
  number INTEGER PRIMARY KEY, queue INTEGER NOT NULL, due INTEGER NOT NULL,
  lane INTEGER NOT NULL, score INTEGER NOT NULL, lift INTEGER NOT NULL, kept INTEGER NOT NULL,
  state INTEGER NOT NULL, attempt INTEGER NOT NULL, claims INTEGER NOT NULL,
  losses INTEGER NOT NULL, careful INTEGER NOT NULL, last INTEGER NOT NULL, did INTEGER NOT NULL,
  reason TEXT
);
CREATE INDEX later_due ON later(queue, due);
CREATE INDEX later_score ON later(queue, score, number, due);
CREATE INDEX later_parked ON later(number) WHERE reason = 'unknown task';

CREATE TABLE blocked(
  number INTEGER PRIMARY KEY, queue INTEGER NOT NULL, due INTEGER NOT NULL,
  claims INTEGER NOT NULL, last INTEGER NOT NULL, did INTEGER NOT NULL
);

-- `cancel` is the reason of a request to cancel, NULL without one.
CREATE TABLE running(
  number INTEGER PRIMARY KEY, token INTEGER NOT NULL, queue INTEGER NOT NULL,
  lane INTEGER NOT NULL, score INTEGER NOT NULL, lift INTEGER NOT NULL,
  attempt INTEGER NOT NULL, claims INTEGER NOT NULL, losses INTEGER NOT NULL,
  last INTEGER NOT NULL, did INTEGER NOT NULL, cancel TEXT
);
CREATE INDEX running_cancel ON running(number) WHERE cancel IS NOT NULL;

-- What a grant holds lies between `low` and `high`: that saves an index on running(token).
CREATE TABLE granted(
  token INTEGER PRIMARY KEY, worker TEXT NOT NULL, expires INTEGER NOT NULL,
  started INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
  "left" INTEGER NOT NULL, lost INTEGER NOT NULL
);
CREATE INDEX granted_live ON granted(expires) WHERE "left" > 0;

-- No index on `at`: it would cost every job; pruning walks by number.
CREATE TABLE finished(
  number INTEGER PRIMARY KEY, state INTEGER NOT NULL, queue INTEGER NOT NULL,
  at INTEGER NOT NULL, took INTEGER NOT NULL, attempt INTEGER NOT NULL, claims INTEGER NOT NULL,
  last INTEGER NOT NULL, did INTEGER NOT NULL, keep INTEGER, reason TEXT, result BLOB
);
CREATE INDEX finished_badly ON finished(state, number) WHERE state > 6;

CREATE TABLE error(
  number INTEGER NOT NULL, claims INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY(number, claims)
) WITHOUT ROWID;

-- `state`: 1 open (the child waits), 0 satisfied (kept while the child is unfinished, so that
-- the parent is), 2 broken (the child was cancelled because of this parent).
CREATE TABLE edge(
  parent INTEGER NOT NULL, child INTEGER NOT NULL, anyway INTEGER NOT NULL,
  state INTEGER NOT NULL,
  PRIMARY KEY(parent, child)
) WITHOUT ROWID;
CREATE INDEX edge_child ON edge(child, state);

-- Ended jobs with more dependents than one step may touch; `after` is the child done last.
CREATE TABLE release(parent INTEGER PRIMARY KEY, after INTEGER NOT NULL);

CREATE TABLE ukey(
  key TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, until INTEGER NOT NULL
) WITHOUT ROWID;

-- Waiting jobs with a time to live.
CREATE TABLE expiry(
  queue INTEGER NOT NULL, at INTEGER NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY(queue, at, number)
) WITHOUT ROWID;

-- `kind`: 0 tag, 1 key.
CREATE TABLE mark(
  kind INTEGER NOT NULL, value TEXT NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY(kind, value, number)
) WITHOUT ROWID;

CREATE TABLE progress(
  number INTEGER PRIMARY KEY, percent REAL NOT NULL, text TEXT NOT NULL
);
-- `size` sums the texts up to this line, so that the oldest can be dropped by one range.
CREATE TABLE log(
  number INTEGER NOT NULL, line INTEGER NOT NULL, at INTEGER NOT NULL,
  attempt INTEGER NOT NULL, size INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY(number, line)
) WITHOUT ROWID;

-- `wanted` is what operators want of it, as JSON; NULL if nothing was said.
CREATE TABLE worker(
  id TEXT PRIMARY KEY, until INTEGER NOT NULL, body BLOB NOT NULL, wanted TEXT
) WITHOUT ROWID;

-- Minute 0 sums up all there were.
CREATE TABLE stat(
  minute INTEGER NOT NULL, queue INTEGER NOT NULL, task INTEGER NOT NULL,
  started INTEGER NOT NULL, completed INTEGER NOT NULL, failed INTEGER NOT NULL,
  retried INTEGER NOT NULL, waited INTEGER NOT NULL, ran INTEGER NOT NULL,
  PRIMARY KEY(minute, queue, task)
) WITHOUT ROWID;
-- `kind`: 0 waited, 1 ran; `bucket` is the bit length of the microseconds.
CREATE TABLE histogram(
  minute INTEGER NOT NULL, queue INTEGER NOT NULL, task INTEGER NOT NULL,
  kind INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(minute, queue, task, kind, bucket)
) WITHOUT ROWID;

-- Entries of the key-value store; `expires` NULL: it stays.
CREATE TABLE kv(
  key TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, expires INTEGER, value BLOB NOT NULL
);
CREATE INDEX kv_expires ON kv(expires) WHERE expires IS NOT NULL;

-- What was said on topics, for a while. `upto` is the weight of all posts up to this one. The numbers
-- of those that are kept go from `first` to `last` without a gap.
CREATE TABLE post(
  number INTEGER PRIMARY KEY, at INTEGER NOT NULL, upto INTEGER NOT NULL, topic TEXT NOT NULL,
  headers BLOB, body BLOB NOT NULL
);
CREATE TABLE posting(last INTEGER NOT NULL, first INTEGER NOT NULL, weight INTEGER NOT NULL);

INSERT INTO meter VALUES(0, 0, 0), (0, 1, 0), (0, 2, 0);
INSERT INTO posting VALUES(0, 1, 0);
