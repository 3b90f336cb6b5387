"""Inserts of several threads that become one."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from mainspring.engines.common.gathering import Gathering, jobs_may_share
from mainspring.ids import new_id
from mainspring.job import Inserted, NewJob


def new() -> NewJob[Any]:
    return NewJob(id=new_id(), task="send", payload=b"{}")


class Kept:
    """Numbers jobs in the order in which they are stored."""

    def __init__(self) -> None:
        self.ids: list[bytes] = []

    def store(self, jobs: Sequence[NewJob[Any]]) -> list[Inserted]:
        self.ids += [job.id for job in jobs]
        return [Inserted(job.id, self.ids.index(job.id)) for job in jobs]


class Interrupt:
    """Ctrl-C at the n-th call or return in the code that makes one insert of many."""

    def __init__(self, n: int) -> None:
        self.left = n

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        if Path(frame.f_code.co_filename).name not in ("gathering.py", "turns.py"):
            return None
        # Python looks for signals where functions begin and end.
        frame.f_trace_lines = False
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.trace


def test_everyone_gets_the_answer_to_his_own_jobs() -> None:
    kept = Kept()
    gathering = Gathering(kept.store, jobs_may_share)
    jobs = [[new() for _ in range(1 + n % 3)] for n in range(64)]
    answers: dict[int, list[Inserted]] = {}

    def insert(n: int) -> None:
        answers[n] = gathering.insert(jobs[n])

    threads = [threading.Thread(target=insert, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(64):
        assert [each.id for each in answers[n]] == [job.id for job in jobs[n]]
        assert [kept.ids[each.number] for each in answers[n]] == [job.id for job in jobs[n]]


def test_an_interrupt_wherever_it_lands_leaves_inserts_to_the_next() -> None:
    kept = Kept()
    gathering = Gathering(kept.store, jobs_may_share)
    for n in range(1, 1000):
        interrupt = Interrupt(n)
        before = sys.gettrace()
        sys.settrace(interrupt.trace)
        try:
            gathering.insert([new()])
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        if interrupt.left > 0:
            break
        job = new()
        thread = threading.Thread(target=gathering.insert, args=([job],), daemon=True)
        thread.start()
        thread.join(5)
        assert job.id in kept.ids, f"nobody can insert after an interrupt at place {n}"
    assert n > 10
