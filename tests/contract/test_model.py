"""Any sequence of verbs gives what a model made of dictionaries says, order included.

Open to the engine, and left out: for which of several parents that ended badly at one moment a
dependent is said to have fallen.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mainspring.durations import DAY, SECOND
from mainspring.engines import open_store
from mainspring.errors import IdConflict, UniqueTaken
from mainspring.job import (
    Cancelled,
    Changed,
    Claimed,
    Edge,
    Failed,
    HandedBack,
    Lost,
    NewJob,
    Policy,
    Select,
    Snoozed,
    State,
    Succeeded,
    TaskUnknown,
    Transition,
    encode_policy,
)
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Settings, Store
from tests.contract.conftest import Engine
from tests.contract.model import Job, Model
from tests.contract.stage import LEASE, OOPS, Stage, Time, everything, ids, retries

RUNS, STEPS = 60, 50
RUNS_IN_MEMORY = 200
"""There they take a tenth of the time."""
FEWEST_STEPS = 2_000
CHECK_EVERY = 10

QUEUES, TASKS = ("a", "b"), ("x", "y")

plain = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "task": st.sampled_from(TASKS),
        "priority": st.sampled_from((0, 0, 0, -1, 1, 5)),
        "delay": st.sampled_from((0, 0, 0, 0, SECOND, 30 * SECOND)),
        "policy": st.sampled_from((*map(retries, (0, 1, 3)), Policy(keep=DAY, version=2))),
    }
)
unbound = st.fixed_dictionaries(
    {
        "expires": st.sampled_from((None, None, None, None, 30 * SECOND)),
        "unique": st.sampled_from((None, None, None, None, "k", "l")),
        "unique_for": st.sampled_from((0, 0, 40 * SECOND)),
        "on_duplicate": st.sampled_from(("return", "replace", "error")),
    }
)
"""What only jobs without parents get: together these leave the order of two ends open."""

outcomes = st.sampled_from(
    (
        Succeeded(b"1"),
        Succeeded(b"1"),
        Failed(OOPS),
        Failed(OOPS),
        Failed(OOPS, permanent=True),
        Failed(OOPS, delay=0),
        Snoozed(0),
        Snoozed(5 * SECOND),
        Cancelled("own"),
        HandedBack(),
        TaskUnknown(),
    )
)
durations = st.sampled_from((1, 2, 10, 25, 60)).map(lambda seconds: seconds * SECOND)


class Verbs(RuleBasedStateMachine):
    """Every verb, on a store and on the model."""

    steps_of_all = 0
    new_store: Callable[[], Store]
    """Makes an empty open store; set by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).new_store()
        self.stage = Stage(self.store, Time())
        self.model = Model()
        self.steps = 0
        self.unused = itertools.count(1)
        self.held: dict[bytes, Claimed] = {}
        self.claims: list[Claim] = []
        self.settled: list[tuple[Transition, bytes, int]] = []
        self.taken_from: set[int] = set()
        self.expiry: dict[int, int] = {}

    def teardown(self) -> None:
        Verbs.steps_of_all += self.steps
        self.store.close()

    # --- helpers --------------------------------------------------------------------------------

    def begin(self) -> int:
        """A step: the clock goes on a little, so that no two steps are at one moment."""
        self.steps += 1
        self.stage.passes("1ms")
        return self.wall

    @property
    def wall(self) -> int:
        return self.stage.time.wall

    def tidy(self) -> None:
        self.stage.tidy()
        self.model.tidy(self.wall)

    def pick(self, data: st.DataObject, jobs: list[Job]) -> Job:
        return data.draw(st.sampled_from(sorted(jobs, key=lambda job: job.new.id)))

    def grant(self, worker: str = "w") -> Grant:
        return Grant(token=next(self.unused), worker=worker, lease=LEASE)

    def verb(self, name: str, job: Job, *arguments: Any) -> Changed:
        select = Select(ids=(job.new.id,))
        changed = getattr(self.store, name)(select, *arguments, now=self.stage.now)
        assert isinstance(changed, Changed)
        return changed

    # --- produce --------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 4))
    def insert(self, data: st.DataObject, count: int) -> None:
        wall = self.begin()
        batch: list[NewJob[Any]] = []
        for n in range(count):
            known = sorted([*self.model.jobs, *ids(batch)])
            edges = ()
            if known and data.draw(st.booleans()):
                parents = data.draw(st.lists(st.sampled_from(known), max_size=2, unique=True))
                edges = tuple(Edge(parent, data.draw(st.booleans())) for parent in parents)
            options = data.draw(plain) | ({} if edges else data.draw(unbound))
            id = next(self.unused).to_bytes(16, "big")
            batch.append(NewJob(id=id, payload=b"%d" % n, edges=edges, **options))
        batch = data.draw(st.permutations(batch))
        try:
            expected = self.model.insert(batch, wall)
        except UniqueTaken as taken:
            self.check_refused(batch, taken.holder)
            return
        answers = self.stage.insert(*batch)
        assert [answer.id for answer in answers] == ids(batch)
        assert [answer.duplicate_of for answer in answers] == expected
        assert not any(answer.repeated for answer in answers)
        stored = [answer for answer in answers if answer.duplicate_of is None]
        numbers = [answer.number for answer in stored]
        assert numbers == sorted(set(numbers))
        assert all(number > job.number for number in numbers for job in self.model.jobs.values())
        for answer in stored:
            self.model.jobs[answer.id].number = answer.number

    def check_refused(self, batch: list[NewJob[Any]], holder: bytes) -> None:
        with pytest.raises(UniqueTaken) as refusal:
            self.stage.insert(*batch)
        assert refusal.value.holder == holder

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), changed=st.booleans())
    def insert_again(self, data: st.DataObject, changed: bool) -> None:
        self.begin()
        job = self.pick(data, list(self.model.jobs.values()))
        if changed:
            with pytest.raises(IdConflict):
                self.stage.insert(msgspec.structs.replace(job.new, payload=b"other"))
        else:
            (answer,) = self.stage.insert(job.new)
            assert (answer.repeated, answer.number) == (True, job.number)

    # --- work -----------------------------------------------------------------------------------

    @rule(
        passes=st.none() | durations,
        limit=st.sampled_from((1, 2, 5, 50)),
        slots=st.sampled_from((0, 1, 50, 50)),
        alone=st.sampled_from((0, 0, 1, 5)),
        queues=st.sampled_from((None, None, ("a",), ("b", "a"), ("c", "a", "b"))),
        tasks=st.sampled_from((None, None, None, ("x",), ("y", "z"))),
    )
    def claim(self, passes: int | None, **wish: Any) -> None:
        self.begin()
        if passes is not None:
            self.stage.passes(passes / SECOND)
            if any(job.late(self.wall) and self.model.needed(job) for job in self.all_jobs()):
                self.tidy()  # what an expiry releases may or may not be seen by the same claim
        if wish["alone"]:
            wish["slots"] = wish["limit"]
        self.take(**wish)
        self.tidy()

    @rule()
    def claim_all(self) -> None:
        self.begin()
        self.take(limit=100, slots=100, alone=100)

    def take(self, **wish: Any) -> None:
        claim = Claim(grant=self.grant(), **wish)
        answer = self.store.exchange([], claim, now=self.stage.now)
        self.check_order(claim, answer.jobs)
        if answer.jobs:
            self.claims.append(claim)
            self.expiry[claim.grant.token] = self.stage.time.lease + LEASE
        for held in answer.jobs:
            self.check_claimed(held)

    def all_jobs(self) -> list[Job]:
        return list(self.model.jobs.values())

    def check_order(self, wish: Claim, told: list[Claimed]) -> None:
        queues = self.model.queues() if wish.queues is None else wish.queues
        suspects = {q: self.model.lane(q, self.wall, True, wish.tasks) for q in queues}
        if not wish.alone or not any(suspects.values()):
            assert ids(told) == self.model.predict(wish, self.wall)
            return
        total = 0
        for queue in queues:
            lane = self.model.lane(queue, self.wall, False, wish.tasks)
            mine = [job.id for job in told if job.queue == queue]
            apart = [job.new.id for job in suspects[queue]]
            shared = [job.new.id for job in lane]
            taken = [id for id in mine if id in apart]
            assert taken == apart[: len(taken)]
            rest = [id for id in mine if id not in apart]
            assert rest == shared[: len(rest)]
            total += len(shared)
        alone = sum(job.alone for job in told)
        available = min(wish.alone, sum(map(len, suspects.values())))
        assert alone <= available
        assert len(told) == min(wish.limit, total + available)

    def check_claimed(self, held: Claimed) -> None:
        suspect = self.model.jobs[held.id].suspect
        job = self.model.claimed(held)
        assert (held.number, held.queue, held.task) == (job.number, job.new.queue, job.new.task)
        assert held.payload == job.new.payload
        assert (held.attempt, held.claims, held.losses) == (job.attempt, job.claims, job.losses)
        assert (held.created, held.alone) == (job.created, suspect)
        self.held[held.id] = held

    @precondition(lambda self: self.model.running())
    @rule(data=st.data())
    def claim_again(self, data: st.DataObject) -> None:
        self.begin()
        tokens = {job.token for job in self.model.running()}
        wishes = [wish for wish in self.claims if wish.grant.token in tokens]
        if not wishes:
            return
        wish = data.draw(st.sampled_from(wishes))
        answer = self.store.exchange([], wish, now=self.stage.now)
        still = [job for job in self.held.values() if job.token == wish.grant.token]
        assert sorted(answer.jobs, key=lambda job: job.number) == sorted(
            (job for job in still if self.model.jobs[job.id].token == job.token),
            key=lambda job: job.number,
        )

    @precondition(lambda self: self.model.running())
    @rule(data=st.data(), stranger=st.sampled_from((None, 0, 10_000)))
    def settle(self, data: st.DataObject, stranger: int | None) -> None:
        self.begin()
        running = sorted(self.model.running(), key=lambda job: job.number)
        chosen = data.draw(st.lists(st.sampled_from(running), min_size=1, max_size=5, unique_by=id))
        changes = [decide(self.held[job.new.id], data.draw(outcomes)) for job in chosen]
        forged = []
        if stranger is not None:
            number, token = changes[0].number + stranger, next(self.unused)
            forged = [msgspec.structs.replace(changes[0], number=number, token=token)]
        self.apply(changes, forged)

    @precondition(lambda self: self.model.running())
    @rule(outcome=outcomes)
    def settle_all(self, outcome: Any) -> None:
        self.begin()
        running = sorted(self.model.running(), key=lambda job: job.number)
        self.apply([decide(self.held[job.new.id], outcome) for job in running])

    def apply(self, changes: list[Transition], forged: Sequence[Transition] = ()) -> None:
        by_number = {job.number: job for job in self.all_jobs()}
        expected = [self.model.settle(change, self.wall) for change in changes]
        answer = self.store.exchange([*forged, *changes], now=self.stage.now)
        assert "lost" not in expected
        assert answer.lost == tuple((each.number, each.token) for each in forged)
        for change, told in zip(changes, expected, strict=True):
            job = by_number[change.number]
            self.settled.append((change, job.new.id, job.moves))
            del self.held[job.new.id]
            if change.to is not State.CANCELLED:
                assert (change.number in answer.cancelled) is (told == "cancelled")
        self.tidy()

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), outcome=outcomes)
    def settle_what_is_not_held(self, data: st.DataObject, outcome: Any) -> None:
        self.begin()
        job = self.pick(data, self.all_jobs())
        policy = encode_policy(job.new.policy)
        some = Claimed(job.number, 0, job.new.id, "", "", b"", 1, 1, 0, 0, 0, policy)
        held = self.held.get(job.new.id, some)
        forged = msgspec.structs.replace(held, token=next(self.unused))
        answer = self.stage.end(forged, outcome)
        assert answer.lost == ((forged.number, forged.token),)

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), other=st.booleans())
    def settle_again(self, data: st.DataObject, other: bool) -> None:
        self.begin()
        change, id, moves = data.draw(st.sampled_from(self.settled))
        if other:
            to = State.FAILED if change.to is State.COMPLETED else State.COMPLETED
            change = msgspec.structs.replace(change, to=to)
        answer = self.store.exchange([change], now=self.stage.now)
        if other:
            assert answer.lost == ((change.number, change.token),)
            return
        job = self.model.jobs.get(id)
        if job is not None and job.moves == moves:
            assert answer.lost == ()

    # --- leases ---------------------------------------------------------------------------------

    @rule(data=st.data(), limit=st.sampled_from((1, 100)), settle=st.booleans())
    def some_workers_die(self, data: st.DataObject, limit: int, settle: bool) -> None:
        """Time passes; some grants are renewed on the way, the others are taken over."""
        self.begin()
        now = self.stage.time.lease
        alive = sorted(
            {
                job.token
                for job in self.model.running()
                if job.token is not None and self.expiry[job.token] > now + 10 * SECOND
            }
        )
        renewed = data.draw(st.lists(st.sampled_from(alive), unique=True)) if alive else []
        self.stage.passes("10s")
        pulse = self.stage.heartbeat(*renewed)
        assert not set(pulse.lost) & set(renewed)
        asked = {j.number for j in self.model.running() if j.cancel is not None}
        mine = {j.number for j in self.model.running() if j.token in renewed}
        assert set(pulse.cancel) == asked & mine
        assert set(pulse.paused) == self.model.paused
        for token in renewed:
            self.expiry[token] = self.stage.time.lease + LEASE
        self.stage.passes("10s")
        self.take_over(limit, settle)
        self.tidy()

    @rule()
    def all_workers_die(self) -> None:
        self.begin()
        self.take(limit=100, slots=100, alone=100)
        self.stage.passes("20s")
        self.take_over(limit=100, settle=True)
        self.stage.passes("2s")
        self.tidy()

    def take_over(self, limit: int, settle: bool) -> None:
        now = self.stage.time.lease
        lapsed = {
            job.new.id: job
            for job in self.model.running()
            if job.token is not None and self.expiry[job.token] <= now
        }
        grant = self.grant("reclaimer")
        taken = self.store.reclaim(grant, limit, now=self.stage.now)
        assert len(taken) == min(limit, len(lapsed))
        assert len(set(ids(taken))) == len(taken)
        self.expiry[grant.token] = now + LEASE
        for held in taken:
            job = lapsed[held.id]
            assert held.token == grant.token
            assert (held.attempt, held.losses) == (job.attempt, job.losses)
            old = self.held[held.id]
            stale = self.store.exchange([decide(old, Succeeded())], now=self.stage.now)
            assert stale.lost == ((old.number, old.token),)
            job.token = grant.token
            job.moves += 1
            self.held[held.id] = held
        if settle:
            self.apply([decide(held, Lost(OOPS)) for held in taken])

    # --- operate --------------------------------------------------------------------------------

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), verb=st.sampled_from(("cancel", "replay", "delete")))
    def operate(self, data: st.DataObject, verb: str) -> None:
        wall = self.begin()
        job = self.pick(data, self.all_jobs())
        if verb == "cancel" and job.cancel is None:  # which of two reasons is kept is open
            done = self.model.cancel(job, "by hand", wall)
            self.check_changed(job, self.verb("cancel", job, "by hand"), done)
        elif verb == "delete":
            done = self.model.delete(job, wall)
            self.check_changed(job, self.verb("delete", job), done)
        elif verb == "replay":
            self.again(job)

    @precondition(lambda self: self.model.ended())
    @rule(data=st.data())
    def replay_an_ended_job(self, data: st.DataObject) -> None:
        self.begin()
        self.again(self.pick(data, self.model.ended()))

    @precondition(lambda self: self.model.with_fallen())
    @rule(data=st.data())
    def replay_what_others_fell_for(self, data: st.DataObject) -> None:
        self.begin()
        self.again(self.pick(data, self.model.with_fallen()))

    def again(self, job: Job) -> None:
        if not self.replay_is_open(job):
            done = self.model.replay(job, self.wall)
            self.check_changed(job, self.verb("replay", job), done)

    def replay_is_open(self, job: Job) -> bool:
        """Whether a dependent fell for several parents at one moment."""
        children = self.model.fallen(job)
        return any(len(c.fell_for) > 1 or self.replay_is_open(c) for c in children)

    def check_changed(self, job: Job, changed: Changed, done: bool) -> None:
        if done:
            assert job.new.id in changed.ids
            assert changed.refused == {}
        else:
            assert changed.ids == ()
            assert set(changed.refused) == {job.new.id}

    @rule(queue=st.sampled_from(QUEUES), paused=st.sampled_from((True, False, False, False)))
    def pause(self, queue: str, paused: bool) -> None:
        self.begin()
        self.store.configure(queue, Settings(paused=paused))
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(duration=durations)
    def time_passes(self, duration: int) -> None:
        self.begin()
        self.stage.passes(duration / SECOND)
        self.tidy()

    # --- look -----------------------------------------------------------------------------------

    @invariant()
    def every_job_stands_where_the_model_says(self) -> None:
        found = {record.id: record for record in everything(self.store)}
        assert found.keys() == self.model.jobs.keys()
        for id, job in self.model.jobs.items():
            record = found[id]
            told = (record.number, record.state, record.attempt, record.claims)
            assert told == (job.number, job.state, job.attempt, job.claims)
            if record.state not in (State.PENDING, State.BLOCKED, State.RUNNING):
                assert record.reason == job.reason
            assert record.cancel_asked is (job.cancel is not None)

    @invariant()
    def counts_are_exact(self) -> None:
        told = {
            (queue, state): count
            for queue, states in self.store.counts().items()
            for state, count in states.items()
            if count
        }
        assert told == self.model.counts()

    @invariant()
    def grants_hold_what_they_were_given(self) -> None:
        tokens = sorted({held.token for held in self.held.values()})
        told = {(job.number, job.token) for job in self.store.held(tokens)}
        assert told == {(job.number, job.token) for job in self.model.running()}

    @precondition(lambda self: self.steps % CHECK_EVERY == 0)
    @invariant()
    def nothing_contradicts_anything(self) -> None:
        assert self.store.check() == []
        for job in self.all_jobs():
            assert len(self.store.history(job.new.id)) == job.errors
        for queue in self.model.queues():
            pending = [j for j in self.all_jobs() if j.state is State.PENDING]
            lane = sorted(
                (j for j in pending if j.new.queue == queue and not j.suspect),
                key=lambda j: (j.score, j.number),
            )
            if not any(j.suspect and j.new.queue == queue for j in pending):
                places = [self.store.position(j.new.id) for j in lane]
                assert places == list(range(1, len(lane) + 1))


@pytest.mark.timeout(400)  # seconds when all is well; minutes when a failure is being made small
def test_any_sequence_of_verbs_gives_what_the_model_says(engine: Engine, tmp_path: Path) -> None:
    places = (tmp_path / str(n) for n in itertools.count())

    def new_store() -> Store:
        place = next(places)
        place.mkdir()
        return open_store(engine.url(place))

    class OnEngine(Verbs):
        pass

    OnEngine.new_store = staticmethod(new_store)
    Verbs.steps_of_all = 0
    least = RUNS_IN_MEMORY if engine.name == "memory" else RUNS // engine.share
    explores = settings().max_examples > settings.get_profile("fixed").max_examples
    runs = settings().max_examples if explores else least
    run_state_machine_as_test(
        OnEngine, settings=settings(max_examples=runs, stateful_step_count=STEPS)
    )
    assert Verbs.steps_of_all >= FEWEST_STEPS // engine.share
