"""Many at once: threads on one store, and processes on one place."""

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.synchronize import Barrier
from typing import Any

import msgspec
import pytest

from mainspring.engines import open_store
from mainspring.errors import IdConflict, QueueFull
from mainspring.ids import new_token
from mainspring.job import Failed, Lost, NewJob, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Settings, Store
from tests.contract.stage import OOPS, assert_sound, everything, ids, new, retries

LEASE = 60_000_000


def wish(limit: int) -> Claim:
    grant = Grant(token=new_token(), worker="w", lease=LEASE)
    return Claim(grant=grant, limit=limit, slots=limit, alone=limit)


def all_at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Do it in so many threads that set off together; their answers, in order."""
    start = threading.Barrier(count)

    def run(n: int) -> Any:
        start.wait()
        return act(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def drain(store: Store, limit: int = 7) -> list[bytes]:
    """Claim and complete until nothing is left; ids in the order they were claimed."""
    seen: list[bytes] = []
    done: list[Any] = []
    while True:
        answer = store.exchange(done, wish(limit))
        assert answer.lost == ()
        if not answer.jobs:
            return seen
        seen += ids(answer.jobs)
        done = [decide(job, Succeeded()) for job in answer.jobs]


def test_two_claimers_never_get_the_same_job(store: Store) -> None:
    jobs = [new() for _ in range(1_000)]
    store.insert(jobs)
    claimed = all_at_once(8, lambda n: drain(store))
    assert sorted(id for seen in claimed for id in seen) == sorted(ids(jobs))
    assert store.counts()["default"][State.COMPLETED] == 1_000


def test_no_more_jobs_wait_than_may_however_many_insert_at_once(store: Store) -> None:
    store.configure("default", Settings(max_depth=50))

    def act(n: int) -> int:
        stored = 0
        for size in range(1, 20):
            with suppress(QueueFull):
                stored += len(store.insert([new() for _ in range(size)]))
            stored += len(store.insert([new(queue="other")])) - 1
        return stored

    stored = sum(all_at_once(8, act))
    assert store.counts()["default"][State.PENDING] == stored
    assert 50 - 19 < stored <= 50
    assert store.counts()["other"][State.PENDING] == 8 * 19


def test_jobs_inserted_while_others_claim_are_all_claimed_once(store: Store) -> None:
    inserting = threading.Semaphore(0)
    left = Counter(running=8)

    def act(n: int) -> list[bytes]:
        if n < 8:
            for _ in range(25):
                store.insert([new(), new()])
            inserting.release()
            return []
        seen: list[bytes] = []
        while left["running"] > 0:
            if inserting.acquire(blocking=False):
                left["running"] -= 1
            seen += drain(store)
        return seen + drain(store)

    claimed = [id for seen in all_at_once(9, act) for id in seen]
    assert len(claimed) == len(set(claimed)) == 400


def test_one_producers_jobs_are_claimed_in_the_order_it_inserted_them(store: Store) -> None:
    jobs = [[new(payload=b"%d %d" % (producer, n)) for n in range(30)] for producer in range(4)]

    def produce(producer: int) -> None:
        for job in jobs[producer]:
            store.insert([job])

    all_at_once(4, produce)
    order = [tuple(map(int, job.payload.split())) for job in store.exchange([], wish(200)).jobs]
    for producer in range(4):
        assert [n for each, n in order if each == producer] == list(range(30))


def test_an_insert_that_is_refused_harms_none_made_at_the_same_time(store: Store) -> None:
    taken = new(payload=b"first")
    store.insert([taken])
    other = msgspec.structs.replace(taken, payload=b"second")

    def produce(n: int) -> list[bytes]:
        stored = []
        for _ in range(20):
            if n % 4 == 0:
                with pytest.raises(IdConflict):
                    store.insert([new(), other])
            else:
                job = new()
                assert store.insert([job, taken])[1].repeated
                stored.append(job.id)
        return stored

    stored = [id for each in all_at_once(16, produce) for id in each]
    assert sorted(ids(everything(store))) == sorted([taken.id, *stored])


def test_a_unique_key_has_one_holder_however_many_ask_at_once(store: Store) -> None:
    answers = all_at_once(8, lambda n: store.insert([new(unique="k")])[0])
    (holder,) = (answer for answer in answers if answer.duplicate_of is None)
    assert {answer.duplicate_of for answer in answers} == {None, holder.id}
    assert ids(everything(store)) == [holder.id]


def test_the_same_insert_at_once_is_stored_once(store: Store) -> None:
    jobs = [new(), new()]
    answers = all_at_once(8, lambda n: store.insert(jobs))
    assert sorted(answer[0].repeated for answer in answers) == [False] + [True] * 7
    assert len({answer[0].number for answer in answers}) == 1
    assert len(everything(store)) == 2


def test_one_refused_insert_harms_none_of_those_beside_it(store: Store) -> None:
    store.insert([new(unique="k")])

    def act(n: int) -> object:
        try:
            return store.insert(
                [new(), new(unique="k", on_duplicate="error" if n % 2 else "return")]
            )
        except Exception as error:
            return error

    answers = all_at_once(8, act)
    assert [isinstance(answer, list) for answer in answers] == [True, False] * 4
    assert len(everything(store)) == 1 + 4


def test_parents_that_end_at_once_release_a_dependent_once(store: Store) -> None:
    for _ in range(10):
        parents = [new() for _ in range(8)]
        child = new().after(*parents)
        store.insert([*parents, child])
        held = store.exchange([], wish(8)).jobs
        all_at_once(8, lambda n, held=held: store.exchange([decide(held[n], Succeeded())]))
        assert ids(store.exchange([], wish(100)).jobs) == [child.id]


def test_a_child_inserted_while_its_parent_ends_is_never_left_waiting(store: Store) -> None:
    for _ in range(20):
        parent = new()
        store.insert([parent])
        (held,) = store.exchange([], wish(1)).jobs
        children = [new().after(parent) for _ in range(3)]

        def act(n: int, held: Any = held, children: list[NewJob[Any]] = children) -> None:
            if n == 3:
                store.exchange([decide(held, Succeeded())])
            else:
                store.insert([children[n]])

        all_at_once(4, act)
        assert sorted(drain(store)) == sorted(ids(children))


def test_of_a_finish_and_a_takeover_at_once_one_wins(store: Store) -> None:
    for _ in range(20):
        store.insert([new(policy=retries(0))])
        grant = Grant(token=new_token(), worker="w", lease=0)
        (held,) = store.exchange([], Claim(grant=grant, limit=1, slots=1)).jobs

        def act(n: int, held: Any = held) -> bool:
            if n:
                return not store.exchange([decide(held, Succeeded())]).lost
            taken = store.reclaim(Grant(token=new_token(), worker="v", lease=LEASE), 10)
            store.exchange([decide(job, Lost(OOPS)) for job in taken])
            return bool(taken)

        assert sorted(all_at_once(2, act)) == [False, True]


def test_operators_and_workers_at_once_leave_a_sound_store(store: Store) -> None:
    store.insert([new(policy=retries(1), queue=f"q{n % 3}") for n in range(300)])

    def act(n: int) -> None:
        for _ in range(30):
            match n:
                case 0:
                    store.cancel(Select(queues=("q0",), states=(State.PENDING,)))
                case 1:
                    store.replay(Select(states=(State.CANCELLED, State.FAILED)))
                case 2:
                    store.upkeep()
                case 3:
                    store.delete(Select(states=(State.COMPLETED,)))
                case _:
                    jobs = store.exchange([], wish(5)).jobs
                    ends = (Succeeded(), Failed(OOPS), Failed(OOPS, permanent=True))
                    store.exchange([decide(job, ends[at % 3]) for at, job in enumerate(jobs)])

    all_at_once(6, act)
    assert_sound(store)


# --- processes -----------------------------------------------------------------------------------


def claiming_process(place: str, start: Barrier, answers: Any) -> None:
    store = open_store(place)
    start.wait()
    answers.put(drain(store, limit=20))
    store.close()


def inserting_process(place: str, start: Barrier, answers: Any) -> None:
    start.wait()
    store = open_store(place)
    jobs = [new() for _ in range(50)]
    for job in jobs:
        store.insert([job])
    answers.put(ids(jobs))
    store.close()


def in_processes(count: int, act: Callable[..., None], place: str) -> list[list[bytes]]:
    """Do it in so many processes that set off together; their answers."""
    clean = multiprocessing.get_context("forkserver")
    start, answers = clean.Barrier(count), clean.SimpleQueue()
    processes = [clean.Process(target=act, args=(place, start, answers)) for _ in range(count)]
    for process in processes:
        process.start()
    told = [answers.get() for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    answers.close()
    return told


def test_two_processes_never_get_the_same_job(store: Store, place: str) -> None:
    jobs = [new() for _ in range(2_000)]
    store.insert(jobs)
    claimed = in_processes(4, claiming_process, place)
    assert sorted(id for seen in claimed for id in seen) == sorted(ids(jobs))


def test_processes_that_open_a_new_store_at_once_all_can_use_it(place: str) -> None:
    inserted = in_processes(4, inserting_process, place)
    store = open_store(place)
    assert sorted(ids(everything(store))) == sorted(id for told in inserted for id in told)
    assert_sound(store)
    store.close()
