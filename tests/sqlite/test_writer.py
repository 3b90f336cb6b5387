"""One writer: who comes together is written together, and is told apart all the same."""

import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mainspring.errors import IdConflict, StoreUnavailable
from mainspring.job import Inserted, Select, State
from mainspring.store import Presence, Store
from tests.contract.stage import new


def frames(path: Path) -> int:
    """Pages that were written to the log since this was asked last."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


def while_locked(path: Path, acts: Sequence[Callable[[], object]]) -> list[object]:
    """Start them one after the other while another program keeps the file locked, then let go;
    what each returned or raised."""
    answers: list[object] = [None] * len(acts)

    def run(n: int) -> None:
        try:
            answers[n] = acts[n]()
        except Exception as error:
            answers[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(acts))]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for thread in threads:
            thread.start()
        other.execute("ROLLBACK")
    for thread in threads:
        thread.join()
    return answers


def test_callers_that_come_together_share_a_commit(store: Store, path: Path) -> None:
    store.insert([new()])
    frames(path)
    store.insert([new()])
    alone = frames(path)
    answers = while_locked(path, [lambda: store.insert([new()])] * 50)
    assert all(isinstance(answer, list) for answer in answers)
    assert 0 < frames(path) < 50 * alone / 3
    assert store.counts()["default"][State.PENDING] == 52


def test_each_of_those_who_came_together_gets_its_own_answer(store: Store, path: Path) -> None:
    jobs = [new() for _ in range(20)]
    acts = [lambda job=job: store.insert([job]) for job in jobs]
    answers: list[Any] = while_locked(path, acts)
    assert [answer[0].id for answer in answers] == [job.id for job in jobs]
    assert len({answer[0].number for answer in answers}) == 20


def test_the_error_of_one_is_only_its_own(store: Store, path: Path) -> None:
    old = new()
    store.insert([old])
    wrong = new(id=old.id, payload=b"other")
    good = [new() for _ in range(10)]
    acts: list[Callable[[], object]] = [lambda job=job: store.insert([job]) for job in good]  # type: ignore[misc]
    acts.insert(5, lambda: store.insert([wrong]))
    frames(path)
    store.insert([new()])
    alone = frames(path)
    answers = while_locked(path, acts)
    assert 0 < frames(path) < len(good) * alone / 3, "the others still share a commit"
    assert isinstance(answers.pop(5), IdConflict)
    assert all(isinstance(answer, list) for answer in answers)
    assert store.counts()["default"][State.PENDING] == 12
    assert store.check() == []


def test_a_heartbeat_goes_before_those_who_wait_already(store: Store, path: Path) -> None:
    order: list[str] = []
    presence = Presence(id="w", host="h", pid=1, started=0, state="running")

    def insert() -> None:
        store.insert([new(payload=b"1" * 1000) for _ in range(2000)])
        order.append("insert")

    def beat() -> None:
        store.heartbeat(presence, [], 1_000_000)
        order.append("beat")

    while_locked(path, [insert, *[insert] * 3, beat])
    assert order.index("beat") <= 1


def test_a_closed_store_refuses_and_says_so(store: Store) -> None:
    store.insert([new()])
    store.close()
    for verb in (lambda: store.insert([new()]), lambda: store.find(Select()), store.listen):
        with pytest.raises(StoreUnavailable, match="not open"):
            verb()
    store.open()
    (answer,) = store.insert([new()])
    assert isinstance(answer, Inserted)


def test_close_waits_for_what_was_accepted(store: Store, path: Path) -> None:
    threads = [threading.Thread(target=lambda: store.insert([new()])) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    store.open()
    assert store.counts()["default"][State.PENDING] == 10
    assert not path.with_name("jobs.db-wal").exists() or frames(path) == 0


class Interrupt:
    """Ctrl-C at the n-th place of the writer's code that this thread comes to."""

    def __init__(self, n: int) -> None:
        self.left = n

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        name, function = Path(frame.f_code.co_filename).name, frame.f_code.co_name
        if name not in ("writer.py", "turns.py") or function == "<genexpr>":
            return None
        # Python looks for signals where functions begin and end; these depend on it.
        frame.f_trace_lines = name == "writer.py" and function != "run"
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.trace


def test_an_interrupt_wherever_it_lands_leaves_the_writer_to_the_next(store: Store) -> None:
    store.insert([new()])
    for n in range(1, 1000):
        interrupt = Interrupt(n)
        before = sys.gettrace()
        sys.settrace(interrupt.trace)
        try:
            store.insert([new()])
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        if interrupt.left > 0:
            break
        done = threading.Event()

        def insert(done: threading.Event = done) -> None:
            store.insert([new(queue="other")])
            done.set()

        threading.Thread(target=insert, daemon=True).start()
        assert done.wait(5), f"the writer stands still after an interrupt at place {n}"
    assert n > 50
    assert store.counts()["other"][State.PENDING] == n - 1
    assert store.check() == []
