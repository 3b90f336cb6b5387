"""Intake: one thread that stores together what coroutines bring at once (a group commit)."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mainspring.errors import (
    InvalidState,
    MainspringError,
    PartlyUnavailable,
    QueueFull,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

T = TypeVar("T")
A = TypeVar("A")

LARGEST_BATCH = 1000
"""Jobs in one transaction, unless one caller alone brings more."""


class Intake(Generic[T, A]):
    """Stores what coroutines bring, by a verb that answers each thing. Its thread starts with the
    first of them. What is not `repeatable` is asked of the store once, whatever came of it."""

    def __init__(
        self, store: Callable[[Sequence[T]], Sequence[A]], name: str, *, repeatable: bool
    ) -> None:
        self._store = store
        self._name = name
        self._repeatable = repeatable
        self._lock = threading.Lock()
        self._brought: dict[AbstractEventLoop, list[_Wish[T, A]]] = {}
        self._wishes: SimpleQueue[list[_Wish[T, A]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def insert(self, things: Sequence[T]) -> list[A]:
        """As the store's verb. Cancelled, it may still happen."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        wish: _Wish[T, A] = _Wish(things, loop, loop.create_future())
        with self._lock:  # so that nothing is put behind the mark that ends the thread
            if self._thread is None or self._closed:
                self._start()
            brought = self._brought.setdefault(loop, [])
            brought.append(wish)
        if len(brought) == 1:
            # In the loop's next round: whoever else is about to bring something comes along, and
            # the thread is woken, and asks for the interpreter's lock, once for all of them.
            loop.call_soon(self._hand_over, loop)
        return await wish.answer

    def _hand_over(self, loop: "AbstractEventLoop") -> None:
        with self._lock:
            if wishes := self._brought.pop(loop, None):
                self._wishes.put(wishes)

    def close(self) -> None:
        """Store what was accepted, then end the thread."""
        with self._lock:
            self._closed = True
            for wishes in self._brought.values():
                self._wishes.put(wishes)
            self._brought.clear()
            self._wishes.put(None)
        if self._thread:
            self._thread.join()

    def _start(self) -> None:
        if self._closed:
            raise InvalidState("the app was closed")
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while wishes := self._next():
            self._carry_out(wishes)
            _answer(wishes)

    def _next(self) -> "list[_Wish[T, A]]":
        """All that wait, up to a batch; nothing when the app is closed."""
        brought = self._wishes.get()
        wishes: list[_Wish[T, A]] = []
        count = 0
        while brought is not None:
            wishes += brought
            count += sum(len(wish.things) for wish in brought)
            if count >= LARGEST_BATCH:
                return wishes
            try:
                brought = self._wishes.get_nowait()
            except Empty:
                return wishes
        if wishes:
            self._wishes.put(None)
        return wishes

    def _carry_out(self, wishes: "list[_Wish[T, A]]") -> None:
        stored: Sequence[A | None]
        try:
            stored = self._store([thing for wish in wishes for thing in wish.things])
        except Exception as error:
            partly = isinstance(error, PartlyUnavailable)
            if isinstance(error, PartlyUnavailable) and not self._repeatable:
                _hand_out(wishes, error.answer, error)
                return
            if len(wishes) == 1 or (isinstance(error, StoreUnavailable) and not partly):
                for wish in wishes:
                    wish.outcome = error
                return
            # One wish spoils the whole transaction: each gets its own, and its own answer. But a
            # queue that is full, and may be for long, leaves those for others together.
            full = error.queue if isinstance(error, QueueFull) else None
            others = [wish for wish in wishes if full and not _names(wish.things, full)]
            if others:
                self._carry_out(others)
            for wish in wishes:
                if wish not in others:
                    self._carry_out([wish])
            return
        _hand_out(wishes, stored, None)


class _Wish(Generic[T, A]):
    __slots__ = ("answer", "loop", "outcome", "things")

    def __init__(
        self, things: Sequence[T], loop: "AbstractEventLoop", answer: "Future[list[A]]"
    ) -> None:
        self.things = things
        self.loop = loop
        self.answer = answer
        self.outcome: list[A] | Exception = MainspringError("not carried out")


def _names(things: Sequence[Any], queue: str) -> bool:
    return any(job.queue == queue for job in things)


def _hand_out(
    wishes: list[_Wish[T, A]], answers: Sequence[A | None], error: Exception | None
) -> None:
    """To each what was answered for its things; the error where one is missing."""
    at = 0
    for wish in wishes:
        mine = [each for each in answers[at : at + len(wish.things)] if each is not None]
        at += len(wish.things)
        wish.outcome = mine if error is None or len(mine) == len(wish.things) else error


def _answer(wishes: list[_Wish[T, A]]) -> None:
    """Wake every event loop once, however many wait on it."""
    by_loop: dict[AbstractEventLoop, list[_Wish[T, A]]] = {}
    for wish in wishes:
        by_loop.setdefault(wish.loop, []).append(wish)
    for loop, answered in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, answered)
        except RuntimeError:
            continue  # the loop was closed: nobody waits on it any more


def _resolve(wishes: list[_Wish[T, A]]) -> None:
    for wish in wishes:
        if wish.answer.done():
            continue
        if isinstance(wish.outcome, Exception):
            wish.answer.set_exception(wish.outcome)
        else:
            wish.answer.set_result(wish.outcome)
