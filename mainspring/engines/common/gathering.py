"""Gathering: small inserts, or posts, that are called at the same time become one.

Only such as could harm no other: what may be refused because of what others hold, a unique key or
an edge, goes by itself. If the one insert fails all the same, each call is made by itself.
"""

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from mainspring.engines.common.turns import Turn, Turns
from mainspring.errors import StoreFull, StoreUnavailable
from mainspring.job import NewJob
from mainspring.posts import NewPost

T = TypeVar("T")
A = TypeVar("A")

MOST_JOBS, MOST_BYTES = 20, 65536
"""Jobs, and bytes of their payloads, of a call that is small."""


def jobs_may_share(jobs: Sequence[NewJob[Any]]) -> bool:
    """Whether this insert may be made together with others."""
    return (
        0 < len(jobs) <= MOST_JOBS
        and not any(job.unique is not None or job.edges for job in jobs)
        and sum(len(job.payload) for job in jobs) <= MOST_BYTES
    )


def posts_may_share(posts: Sequence[NewPost]) -> bool:
    """Whether these may be posted together with others."""
    return 0 < len(posts) <= MOST_JOBS and sum(post.weight for post in posts) <= MOST_BYTES


class Gathering(Generic[T, A]):
    """Makes inserts by `store`, one answer for each thing, for any number of threads."""

    def __init__(
        self,
        store: Callable[[Sequence[T]], list[A]],
        may_share: Callable[[Sequence[T]], bool],
    ) -> None:
        self._store = store
        self._may_share = may_share
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew with nobody waiting: the threads that waited are not in this process."""
        self._turns = Turns()

    def insert(self, things: Sequence[T]) -> list[A]:
        """Store these, whole or not at all; the answers in their order."""
        if not self._may_share(things):
            return self._store(things)
        turn = Turn(things)
        self._turns.run(turn, self._do)
        if turn.error is not None:
            raise turn.error
        answers: list[A] = turn.answer if turn.done else self._store(things)
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
