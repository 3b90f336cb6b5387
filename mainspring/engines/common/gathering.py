"""Gathering: small inserts that are called at the same time become one.

Only such as could harm no other: what may be refused because of what others hold, a unique key or
an edge, goes by itself. If the one insert fails all the same, each call is made by itself.
"""

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any, TypeAlias

from mainspring.engines.common.turns import Turn, Turns
from mainspring.errors import StoreFull, StoreUnavailable
from mainspring.job import Inserted, NewJob

Jobs: TypeAlias = Sequence[NewJob[Any]]

MOST_JOBS, MOST_BYTES = 20, 65536
"""Jobs, and bytes of their payloads, of a call that is small."""


class Gathering:
    """Makes inserts by `store`, for any number of threads."""

    def __init__(self, store: Callable[[Jobs], list[Inserted]]) -> None:
        self._store = store
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew with nobody waiting: the threads that waited are not in this process."""
        self._turns = Turns()

    def insert(self, jobs: Jobs) -> list[Inserted]:
        """Store the jobs, whole or not at all; the answers in their order."""
        if not _may_share(jobs):
            return self._store(jobs)
        turn = Turn(jobs)
        self._turns.run(turn, self._do)
        if turn.error is not None:
            raise turn.error
        answers: list[Inserted] = turn.answer if turn.done else self._store(jobs)
        return answers

    def _do(self, batch: list[Turn]) -> None:
        try:
            answers = iter(self._store(list(chain.from_iterable(turn.work for turn in batch))))
        except Exception as error:
            away = isinstance(error, StoreUnavailable) and not isinstance(error, StoreFull)
            if away or len(batch) == 1:
                for turn in batch:
                    turn.error = error
            return
        for turn in batch:
            turn.answer = list(islice(answers, len(turn.work)))
            turn.done = True


def _may_share(jobs: Jobs) -> bool:
    return (
        0 < len(jobs) <= MOST_JOBS
        and not any(job.unique is not None or job.edges for job in jobs)
        and sum(len(job.payload) for job in jobs) <= MOST_BYTES
    )
