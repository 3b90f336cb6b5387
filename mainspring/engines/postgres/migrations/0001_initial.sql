-- What a job is stands in `job`, written once. Where it stands is one row in exactly one of
-- `ready`, `later`, `blocked`, `running`, `finished`, so that a claim reads only what can be
-- claimed. In each of them `last` and `did` are the token and the target state of the last
-- transition, by which a repeated one is known.
--
-- States: 1 scheduled, 2 blocked, 3 pending, 4 running, 5 retrying, 6 completed, 7 failed,
-- 8 cancelled. Times are microseconds. What users name is bytes where it may hold anything.
--
-- Small tables whose rows come and go are vacuumed early and without pauses: a claim walks over
-- what is dead.

CREATE SEQUENCE mainspring.numbers;

-- Jobs by queue and state, as changes to be summed up: no row that everybody writes to. Of queue q,
-- (-q, 0) are the jobs that were removed, and (-q, state) those that have left this final state.
CREATE TABLE mainspring.meter(queue int NOT NULL, state smallint NOT NULL, n bigint NOT NULL)
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);

CREATE TABLE mainspring.queue(
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE,
  paused boolean NOT NULL DEFAULT false, by_hand boolean NOT NULL DEFAULT false,
  aging bigint NOT NULL DEFAULT 60000000,
  keep_completed bigint NOT NULL DEFAULT 86400000000,
  keep_cancelled bigint NOT NULL DEFAULT 86400000000,
  keep_failed bigint NOT NULL DEFAULT 1209600000000,
  max_retries bigint NOT NULL DEFAULT 3, retry_delays bytea NOT NULL DEFAULT '',
  ack_deadline bigint NOT NULL DEFAULT 30000000, max_depth bigint NOT NULL DEFAULT 0
);
CREATE TABLE mainspring.task(
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE
);
CREATE TABLE mainspring.policy(
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL UNIQUE
);

-- `flags`: 1 unique key, 2 time to live, 4 tags or key, 8 edges, 16 own retention, 32 no retries.
-- `lift` is priority × aging as it was at the insert; `expires` a moment.
CREATE TABLE mainspring.job(
  number bigint PRIMARY KEY, created bigint NOT NULL, lift bigint NOT NULL, expires bigint,
  queue int NOT NULL, task int NOT NULL, policy int NOT NULL,
  priority smallint NOT NULL, flags smallint NOT NULL,
  id bytea NOT NULL, payload bytea NOT NULL, headers bytea, extra bytea
);
CREATE UNIQUE INDEX ON mainspring.job(id);

-- Lane -2q is the default lane of queue q, -2q-1 the lane of its suspects. due = score + lift.
-- A row that is not at (default lane, created - lift) is `moved`, and found by its number. One
-- that was written with a score well behind the clock is `behind`, and found by that: claims begin
-- near where the last one ended.
CREATE TABLE mainspring.ready(
  score bigint NOT NULL, number bigint NOT NULL, lift bigint NOT NULL, last bigint NOT NULL,
  lane int NOT NULL, task int NOT NULL, attempt int NOT NULL, claims int NOT NULL,
  losses int NOT NULL, did smallint NOT NULL, careful boolean NOT NULL, moved boolean NOT NULL,
  behind boolean NOT NULL, expires bigint,
  PRIMARY KEY(lane, score, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ON mainspring.ready(number) WHERE moved;
CREATE INDEX ON mainspring.ready(lane, score, number) WHERE behind;
CREATE INDEX ON mainspring.ready(lane, expires) WHERE expires IS NOT NULL;

-- `kept`: the score is an old one and does not follow from `due`.
CREATE TABLE mainspring.later(
  number bigint PRIMARY KEY, due bigint NOT NULL, score bigint NOT NULL, lift bigint NOT NULL,
  last bigint NOT NULL, expires bigint, queue int NOT NULL, lane int NOT NULL, task int NOT NULL,
  attempt int NOT NULL, claims int NOT NULL, losses int NOT NULL, state smallint NOT NULL,
  did smallint NOT NULL, kept boolean NOT NULL, careful boolean NOT NULL, reason text
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ON mainspring.later(queue, due);
CREATE INDEX ON mainspring.later(queue, score, number);
CREATE INDEX ON mainspring.later(task) WHERE reason = 'unknown task';
CREATE INDEX ON mainspring.later(queue, expires) WHERE expires IS NOT NULL;

CREATE TABLE mainspring.blocked(
  number bigint PRIMARY KEY, due bigint NOT NULL, last bigint NOT NULL, expires bigint,
  queue int NOT NULL, claims int NOT NULL, did smallint NOT NULL
);
CREATE INDEX ON mainspring.blocked(queue, expires) WHERE expires IS NOT NULL;

-- `cancel` is the reason of a request to cancel, NULL without one.
CREATE TABLE mainspring.running(
  number bigint PRIMARY KEY, token bigint NOT NULL, score bigint NOT NULL, lift bigint NOT NULL,
  last bigint NOT NULL, queue int NOT NULL, lane int NOT NULL, attempt int NOT NULL,
  claims int NOT NULL, losses int NOT NULL, did smallint NOT NULL, cancel text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ON mainspring.running(number) WHERE cancel IS NOT NULL;

-- What a grant holds lies between `low` and `high`: that saves an index on running(token).
CREATE TABLE mainspring.granted(
  token bigint PRIMARY KEY, expires bigint NOT NULL, started bigint NOT NULL, low bigint NOT NULL,
  high bigint NOT NULL, "left" int NOT NULL, lost boolean NOT NULL, worker text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ON mainspring.granted(expires) WHERE "left" > 0;

-- No index on `at`: it would cost every job; pruning walks by number.
CREATE TABLE mainspring.finished(
  number bigint PRIMARY KEY, at bigint NOT NULL, took bigint NOT NULL, last bigint NOT NULL,
  keep bigint, queue int NOT NULL, attempt int NOT NULL, claims int NOT NULL,
  state smallint NOT NULL, did smallint NOT NULL, reason text, result bytea
);
CREATE INDEX ON mainspring.finished(state, number) WHERE state > 6;

CREATE TABLE mainspring.error(
  number bigint NOT NULL, claims int NOT NULL, body bytea NOT NULL, PRIMARY KEY(number, claims)
);

-- `state`: 1 open (the child waits), 0 satisfied (kept while the child is unfinished, so that
-- the parent is), 2 broken (the child was cancelled because of this parent).
CREATE TABLE mainspring.edge(
  parent bigint NOT NULL, child bigint NOT NULL, anyway boolean NOT NULL, state smallint NOT NULL,
  PRIMARY KEY(parent, child)
);
CREATE INDEX ON mainspring.edge(child, state);
CREATE INDEX ON mainspring.edge(parent, child) WHERE state = 1;

-- Edges that are new, to parents that had not ended. An end that was being written meanwhile may
-- not have seen one, so they are looked at again until every transaction open at that time has
-- ended: `until` is the first that had not begun when the row was first looked at.
CREATE TABLE mainspring.edge_new(parent bigint NOT NULL, child bigint NOT NULL, until bigint);
CREATE INDEX ON mainspring.edge_new(parent);
CREATE INDEX ON mainspring.edge_new(child);

-- Ended jobs with more dependents than one step may touch; `after` is the child done last.
CREATE TABLE mainspring.release(parent bigint PRIMARY KEY, after bigint NOT NULL);

-- `number` is NULL only inside the transaction that takes the key.
CREATE TABLE mainspring.ukey(key bytea PRIMARY KEY, number bigint, until bigint NOT NULL);
CREATE INDEX ON mainspring.ukey(number);

-- `kind`: 0 tag, 1 key.
CREATE TABLE mainspring.mark(
  kind smallint NOT NULL, value bytea NOT NULL, number bigint NOT NULL,
  PRIMARY KEY(kind, value, number)
);

CREATE TABLE mainspring.progress(
  number bigint PRIMARY KEY, percent double precision NOT NULL, text text NOT NULL
);
-- `size` sums the texts up to this line, so that the oldest can be dropped by one range.
CREATE TABLE mainspring.log(
  number bigint NOT NULL, line int NOT NULL, at bigint NOT NULL, attempt int NOT NULL,
  size bigint NOT NULL, text text NOT NULL, PRIMARY KEY(number, line)
);

-- `wanted` is what operators want of it; NULL if nothing was said.
CREATE TABLE mainspring.worker(
  id text COLLATE "C" PRIMARY KEY, until bigint NOT NULL, body bytea NOT NULL, wanted jsonb
) WITH (fillfactor = 50);

-- Minute 0 sums up all there were.
CREATE TABLE mainspring.stat(
  minute int NOT NULL, queue int NOT NULL, task int NOT NULL,
  started bigint NOT NULL, completed bigint NOT NULL, failed bigint NOT NULL,
  retried bigint NOT NULL, waited bigint NOT NULL, ran bigint NOT NULL,
  PRIMARY KEY(minute, queue, task)
) WITH (fillfactor = 50);
-- `kind`: 0 waited, 1 ran; `bucket` is the bit length of the microseconds.
CREATE TABLE mainspring.histogram(
  minute int NOT NULL, queue int NOT NULL, task int NOT NULL,
  kind smallint NOT NULL, bucket smallint NOT NULL, n bigint NOT NULL,
  PRIMARY KEY(minute, queue, task, kind, bucket)
) WITH (fillfactor = 50);

-- Functions: the statements of every claim, every success and every plain insert, and what takes
-- longer to plan than to do. As functions they are planned once for each connection, by whatever
-- pooler it is reached.

-- Entries of the key-value store; `expires` NULL: it stays. Version 0 is a place that a transaction
-- has taken to write to.
CREATE SEQUENCE mainspring.versions;
CREATE TABLE mainspring.kv(
  version bigint NOT NULL, expires bigint, key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL
);
CREATE INDEX ON mainspring.kv(expires) WHERE expires IS NOT NULL;

-- What was said on topics, for a while. `upto` is the weight of all posts up to this one. The numbers
-- of those that are kept go from `first` to `last` without a gap, in the order of the commits: whoever
-- posts keeps the one row of `posting` locked until its transaction has ended.
CREATE TABLE mainspring.post(
  number bigint PRIMARY KEY, at bigint NOT NULL, upto bigint NOT NULL,
  topic text COLLATE "C" NOT NULL, headers bytea, body bytea NOT NULL
);
CREATE TABLE mainspring.posting(last bigint NOT NULL, first bigint NOT NULL, weight bigint NOT NULL)
WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);
INSERT INTO mainspring.posting VALUES(0, 1, 0);

-- The bodies of jobs, in order, and with `_plain` their places in `ready`. `_which` tells which
-- of the given kinds of jobs each is; NULL: all are of the first.
-- Store jobs, with their places if they are plain; their numbers. Instead the number of a queue,
-- below 0, if more would wait in it than may.
CREATE FUNCTION mainspring.store(
  _wall bigint, _plain boolean, _ids bytea[], _payloads bytea[], _headers bytea[], _extras bytea[],
  _expires bigint[], _which bigint[], _queues bigint[], _tasks bigint[], _policies bigint[],
  _flags bigint[], _priorities bigint[], _lifts bigint[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  _numbers bigint[];
  _full bigint;
BEGIN
  -- Who adds to a queue that may become full waits for the others who do, until they have ended.
  PERFORM FROM mainspring.queue WHERE id = ANY(_queues) AND max_depth > 0 ORDER BY id
  FOR NO KEY UPDATE;
  IF FOUND THEN
    SELECT q.id INTO _full FROM mainspring.queue q
    WHERE q.id = ANY(_queues) AND q.max_depth > 0 AND q.max_depth < (
      SELECT coalesce(sum(m.n), 0) FROM mainspring.meter m
      WHERE m.queue = q.id AND m.state IN (1, 2, 3, 5)
    ) + (
      SELECT count(*) FROM unnest(_ids, _which) AS t(id, which)
      WHERE _queues[coalesce(t.which, 1)] = q.id
    ) LIMIT 1;
    IF FOUND THEN
      IF EXISTS(SELECT FROM mainspring.job WHERE id = ANY(_ids)) THEN
        RAISE unique_violation;
      END IF;
      RETURN ARRAY[-_full];
    END IF;
  END IF;
  SELECT array_agg(n) INTO _numbers FROM (
    SELECT nextval('mainspring.numbers') AS n FROM generate_series(1, cardinality(_ids))
  ) drawn;
  INSERT INTO mainspring.job
  SELECT t.number, _wall, _lifts[k.k], t.expires, _queues[k.k], _tasks[k.k], _policies[k.k],
    _priorities[k.k], _flags[k.k], t.id, t.payload, t.headers, t.extra
  FROM unnest(_numbers, _ids, _payloads, _headers, _extras, _expires, _which)
    AS t(number, id, payload, headers, extra, expires, which)
  CROSS JOIN LATERAL (SELECT coalesce(t.which, 1) AS k) k;
  IF _plain THEN
    INSERT INTO mainspring.ready
    SELECT _wall - _lifts[k.k], t.number, _lifts[k.k], 0, -2 * _queues[k.k], _tasks[k.k], 0, 0, 0,
      0, _flags[k.k] & 32 <> 0, false, _lifts[k.k] > 2000000, t.expires
    FROM unnest(_numbers, _expires, _which) AS t(number, expires, which)
    CROSS JOIN LATERAL (SELECT coalesce(t.which, 1) AS k) k;
    INSERT INTO mainspring.meter
    SELECT _queues[coalesce(t.which, 1)], 3, count(*)
    FROM unnest(_ids, _which) AS t(id, which) GROUP BY 1;
  END IF;
  RETURN _numbers;
END $$;

-- All that a claim looks at before it takes anything; one row at least.
CREATE FUNCTION mainspring.survey(_token bigint, _names text[])
RETURNS TABLE(
  known boolean, left_over boolean, queue int, name text, due bigint, ready boolean,
  suspects boolean
) LANGUAGE plpgsql STABLE
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY
  SELECT s.known, s.left_over, q.id, q.name,
    (SELECT min(l.due) FROM mainspring.later l WHERE l.queue = q.id),
    EXISTS(SELECT 1 FROM mainspring.ready r WHERE r.lane = -2 * q.id),
    EXISTS(SELECT 1 FROM mainspring.ready r WHERE r.lane = -2 * q.id - 1)
  FROM (
    SELECT EXISTS(SELECT 1 FROM mainspring.granted g WHERE g.token = _token) AS known,
      EXISTS(SELECT 1 FROM mainspring.release) OR EXISTS(
        SELECT 1 FROM mainspring.edge_new n
        JOIN mainspring.finished f ON f.number = n.parent
        JOIN mainspring.edge e ON e.parent = n.parent AND e.child = n.child AND e.state = 1
      ) AS left_over
  ) s
  LEFT JOIN mainspring.queue q ON NOT q.paused
    AND CASE WHEN _names IS NULL THEN NOT q.by_hand ELSE q.name = ANY(_names) END;
END $$;

-- Not inlined, so that claims of all priorities have nothing more to set up; planned as its callers.
CREATE FUNCTION mainspring.priority(_number bigint) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT j.priority FROM mainspring.job j WHERE j.number = _number);
END $$;

-- How many each lane has among the first of all of them, suspects no more than asked for.
CREATE FUNCTION mainspring.shares(
  _lanes bigint[], _orders bigint[], _floors bigint[], _limit bigint, _alone bigint, _wall bigint,
  _tasks bigint[], _lowest int, _highest int
) RETURNS TABLE(lane bigint, n bigint) LANGUAGE plpgsql STABLE
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
  RETURN QUERY
  SELECT first.lane, count(*) FROM (
    SELECT offer.lane FROM (
      SELECT s.lane, s.ord, r.score, r.number, s.lane & 1 <> 0 AS suspect,
        row_number() OVER (PARTITION BY s.lane & 1 ORDER BY s.ord, r.score, r.number) AS place
      FROM unnest(_lanes, _orders, _floors) s(lane, ord, floor)
      CROSS JOIN LATERAL (
        (SELECT a.score, a.number FROM mainspring.ready a
          WHERE a.lane = s.lane AND a.behind AND a.score < s.floor
            AND (a.expires IS NULL OR a.expires > _wall)
            AND (_tasks IS NULL OR a.task = ANY(_tasks))
            AND (_lowest IS NULL OR mainspring.priority(a.number) BETWEEN _lowest AND _highest)
          ORDER BY a.score, a.number LIMIT _limit)
        UNION ALL
        (SELECT a.score, a.number FROM mainspring.ready a
          WHERE a.lane = s.lane AND a.score >= s.floor
            AND (a.expires IS NULL OR a.expires > _wall)
            AND (_tasks IS NULL OR a.task = ANY(_tasks))
            AND (_lowest IS NULL OR mainspring.priority(a.number) BETWEEN _lowest AND _highest)
          ORDER BY a.score, a.number LIMIT _limit)
      ) r
    ) offer
    WHERE NOT offer.suspect OR offer.place <= _alone
    ORDER BY offer.ord, offer.score, offer.number LIMIT _limit
  ) first
  GROUP BY first.lane;
END $$;

-- Move the next jobs of these lanes to `running`, under one grant. `_orders` says which lanes go
-- before which, `_floors` where the scan of each begins, `_shares` how many of each at most.
-- Rows in the order of the claim; a last row without a number says that a careful job ended it.
CREATE FUNCTION mainspring.take(
  _token bigint, _worker text, _until bigint, _wall bigint, _lanes bigint[], _orders bigint[],
  _floors bigint[], _shares bigint[], _slots int, _tasks bigint[], _reach int,
  _lowest int, _highest int
) RETURNS TABLE(
  number bigint, id bytea, payload bytea, attempt int, claims int, losses int, created bigint,
  due bigint, headers bytea, policy int, score bigint, kind bigint, lane int
) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
  _head CONSTANT bigint := -(1::bigint << 62);
  _rows tid[] := '{}';
  _ords bigint[] := '{}';
  _some tid[];
  _any boolean := false;
  _one boolean;
  _last bigint;
  _left bigint;
  _stop bigint;
BEGIN
  FOR i IN 1 .. cardinality(_lanes) LOOP
    _left := _shares[i];
    _last := NULL;
    IF _reach IS NOT NULL THEN
      SELECT r.score INTO _last FROM mainspring.ready r WHERE r.lane = _lanes[i]
      ORDER BY r.score, r.number OFFSET _reach - 1 LIMIT 1;
    END IF;
    IF _floors[i] > _head THEN
      SELECT coalesce(array_agg(s.tid), '{}'), coalesce(bool_or(s.careful), false)
      INTO _some, _one FROM (
        SELECT r.ctid AS tid, r.careful FROM mainspring.ready r
        WHERE r.lane = _lanes[i] AND r.behind AND r.score < _floors[i]
          AND (r.expires IS NULL OR r.expires > _wall)
          AND (_tasks IS NULL OR r.task = ANY(_tasks)) AND (_last IS NULL OR r.score <= _last)
          AND (_lowest IS NULL OR mainspring.priority(r.number) BETWEEN _lowest AND _highest)
        ORDER BY r.score, r.number LIMIT _left FOR UPDATE SKIP LOCKED
      ) s;
      _rows := _rows || _some;
      _left := _left - cardinality(_some);
      _any := _any OR _one;
    END IF;
    SELECT coalesce(array_agg(s.tid), '{}'), coalesce(bool_or(s.careful), false)
    INTO _some, _one FROM (
      SELECT r.ctid AS tid, r.careful FROM mainspring.ready r
      WHERE r.lane = _lanes[i] AND r.score >= _floors[i]
        AND (r.expires IS NULL OR r.expires > _wall)
        AND (_tasks IS NULL OR r.task = ANY(_tasks)) AND (_last IS NULL OR r.score <= _last)
        AND (_lowest IS NULL OR mainspring.priority(r.number) BETWEEN _lowest AND _highest)
      ORDER BY r.score, r.number LIMIT _left FOR UPDATE SKIP LOCKED
    ) s;
    _rows := _rows || _some;
    _any := _any OR _one;
    _ords := _ords || array_fill(_orders[i], ARRAY[cardinality(_rows) - cardinality(_ords)]);
  END LOOP;
  IF _any THEN
    -- Only up to the first careful job that no slot is left for.
    WITH offers AS (
      SELECT t.tid, r.careful AND r.lane & 1 = 0 AS careful,
        row_number() OVER (ORDER BY t.ord, r.score, r.number) AS place,
        count(*) FILTER (WHERE r.lane & 1 = 0) OVER (ORDER BY t.ord, r.score, r.number) AS plain
      FROM unnest(_rows, _ords) AS t(tid, ord) JOIN mainspring.ready r ON r.ctid = t.tid
    ), stop AS (
      SELECT min(place) AS place FROM offers WHERE careful AND plain > _slots
    )
    SELECT coalesce(array_agg(o.tid) FILTER (WHERE s.place IS NULL OR o.place < s.place), '{}'),
      min(s.place)
    INTO _rows, _stop FROM offers o CROSS JOIN stop s;
  END IF;
  IF cardinality(_rows) > 0 THEN
    RETURN QUERY WITH gone AS MATERIALIZED (
      DELETE FROM mainspring.ready r WHERE r.ctid = ANY(_rows)
      RETURNING r.number, r.score, r.lift, r.last, r.lane, r.attempt, r.claims, r.losses, r.did,
        r.careful
    ), run AS (
      INSERT INTO mainspring.running
      SELECT g.number, _token, g.score, g.lift, g.last, -g.lane / 2, g.lane, g.attempt + 1,
        g.claims + 1, g.losses, g.did, NULL
      FROM gone g
    ), held AS (
      INSERT INTO mainspring.granted
      SELECT _token, _until, _wall, min(g.number), max(g.number), count(*), false, _worker
      FROM gone g
    ), counted AS (
      INSERT INTO mainspring.meter
      SELECT -g.lane / 2, s.state, s.sign * count(*)
      FROM gone g CROSS JOIN (VALUES (3, -1), (4, 1)) s(state, sign)
      GROUP BY -g.lane / 2, s.state, s.sign
    )
    SELECT g.number, j.id, j.payload, g.attempt + 1, g.claims + 1, g.losses, j.created,
      g.score + g.lift, j.headers, j.policy, g.score,
      (j.queue::bigint << 40) | (j.task::bigint << 8) | (g.lane & 1) * 128
        | g.careful::int * 64 | j.flags,
      g.lane
    FROM gone g JOIN mainspring.job j ON j.number = g.number ORDER BY g.score, g.number;
  END IF;
  IF _stop IS NOT NULL THEN
    RETURN QUERY SELECT NULL::bigint, NULL::bytea, NULL::bytea, 0, 0, 0, 0::bigint, 0::bigint,
      NULL::bytea, 0, 0::bigint, 0::bigint, 0;
  END IF;
END $$;

-- Complete those of these jobs that are held under the token; their numbers, and whether others
-- may wait for one of them. The fence is the row: what is not held is not there to be moved.
CREATE FUNCTION mainspring.complete(
  _token bigint, _wall bigint, _numbers bigint[], _tooks bigint[], _results bytea[]
) RETURNS TABLE(done bigint[], awaited boolean) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
  PERFORM 1 FROM mainspring.granted g WHERE g.token = _token FOR UPDATE;
  WITH gone AS (
    DELETE FROM mainspring.running r USING unnest(_numbers, _tooks, _results)
      AS t(number, took, result)
    WHERE r.number = t.number AND r.token = _token
    RETURNING r.number, t.took, r.queue, r.attempt, r.claims, t.result
  ), ended AS (
    INSERT INTO mainspring.finished
    SELECT g.number, _wall, g.took, _token, NULL, g.queue, g.attempt, g.claims, 6, 6, NULL,
      g.result
    FROM gone g
  ), counted AS (
    INSERT INTO mainspring.meter
    SELECT g.queue, s.state, s.sign * count(*)
    FROM gone g CROSS JOIN (VALUES (4, -1), (6, 1)) s(state, sign)
    GROUP BY g.queue, s.state, s.sign
  )
  SELECT coalesce(array_agg(g.number), '{}') INTO done FROM gone g;
  IF cardinality(done) > 0 THEN
    UPDATE mainspring.granted g SET "left" = g."left" - cardinality(done) WHERE g.token = _token;
  END IF;
  -- Seen by a statement of its own: what was committed until now.
  SELECT EXISTS(
    SELECT 1 FROM mainspring.edge e WHERE e.state = 1 AND e.parent BETWEEN m.low AND m.high
  ) INTO awaited FROM (SELECT min(n) AS low, max(n) AS high FROM unnest(done) n) m;
  RETURN NEXT;
END $$;

-- Jobs as they stand, in order: those with these numbers, or else those with these ids.
CREATE FUNCTION mainspring.records(_numbers bigint[], _ids bytea[])
RETURNS TABLE(
  number bigint, id bytea, queue text, task text, payload bytea, priority smallint, created bigint,
  expires bigint, policy bytea, headers bytea, extra bytea, state int, attempt int, claims int,
  due bigint, reason text, started bigint, finished bigint, took bigint, worker text,
  token bigint, result bytea, percent double precision, note text, cancel text, error bytea
) LANGUAGE plpgsql STABLE
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
BEGIN
  RETURN QUERY
  SELECT j.number, j.id, q.name, t.name, j.payload, j.priority, j.created, j.expires, p.body,
    j.headers, j.extra,
    CASE
      WHEN f.number IS NOT NULL THEN f.state WHEN r.number IS NOT NULL THEN 4
      WHEN l.number IS NOT NULL THEN l.state WHEN b.number IS NOT NULL THEN 2 ELSE 3
    END,
    coalesce(f.attempt, r.attempt, l.attempt, m.attempt, 0),
    coalesce(f.claims, r.claims, l.claims, b.claims, m.claims, 0),
    coalesce(l.due, b.due, r.score + r.lift, m.score + m.lift,
      CASE WHEN f.number IS NULL THEN j.created END),
    coalesce(f.reason, l.reason),
    coalesce(g.started, CASE WHEN f.took > 0 THEN f.at - f.took END), f.at, f.took, g.worker,
    r.token, f.result, s.percent, s.text, r.cancel,
    (SELECT e.body FROM mainspring.error e WHERE e.number = j.number ORDER BY e.claims DESC LIMIT 1)
  FROM unnest(coalesce(_numbers, ARRAY(SELECT i.number FROM mainspring.job i WHERE i.id = ANY(_ids))))
    WITH ORDINALITY wanted(number, place)
  JOIN mainspring.job j ON j.number = wanted.number
  JOIN mainspring.queue q ON q.id = j.queue JOIN mainspring.task t ON t.id = j.task
  JOIN mainspring.policy p ON p.id = j.policy
  LEFT JOIN mainspring.finished f ON f.number = j.number
  LEFT JOIN mainspring.running r ON r.number = j.number
  LEFT JOIN mainspring.granted g ON g.token = r.token
  LEFT JOIN mainspring.later l ON l.number = j.number
  LEFT JOIN mainspring.blocked b ON b.number = j.number
  LEFT JOIN mainspring.ready m ON m.number = j.number AND m.moved
  LEFT JOIN mainspring.progress s ON s.number = j.number
  ORDER BY wanted.place;
END $$;
