"""Runner: one job, and what its end means for it. Knows no store, no thread and no event loop."""

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from inspect import isawaitable
from typing import Any, NamedTuple

import msgspec

from mainspring.context import Context
from mainspring.durations import microseconds
from mainspring.errors import (
    Cancel,
    InvalidArguments,
    RateLimited,
    Reject,
    RetryAfter,
    Snooze,
    Steering,
)
from mainspring.events import Finished, Started
from mainspring.job import (
    Cancelled,
    Claimed,
    Failed,
    JobError,
    Outcome,
    Reason,
    Snoozed,
    State,
    Transition,
    decode_policy,
)
from mainspring.lifecycle import decide
from mainspring.worker.child.program import Middleware, Program, Runnable
from mainspring.worker.child.reporter import Reporter
from mainspring.worker.link.board import Marks

log = logging.getLogger("mainspring")

LONGEST_MESSAGE = 4_000
LONGEST_TRACEBACK = 16_000
"""Characters kept of an error's text; of a traceback the end, where the error is."""

MOST_FRAMES = 100
"""Frames told of a traceback: the innermost ones."""

OURS = "mainspring.worker."


class Recipe(NamedTuple):
    """What is needed of a task at each of its jobs, looked up once. `timeout` in microseconds,
    `memory` in bytes."""

    task: Runnable
    versions: range
    call: Callable[[bytes, Context], Any]
    timeout: int | None
    middlewares: Sequence[Middleware]
    memory: int | None


class Runner:
    """What all ways of running share: contexts, the call, the mapping of ends to transitions."""

    is_copy = False
    """Whether a function has forked, and this is the other process."""

    def __init__(self, program: Program, reporter: Reporter, marks: Marks, worker: str) -> None:
        self.program = program
        self.reporter = reporter
        self.worker = worker
        self.marks = marks
        self.recipes: dict[str, Recipe] = {}
        self._tells_start = self._tells_end = False

    def learn(self, name: str, task: Runnable) -> None:
        """Jobs of this name are run by that task."""
        self.recipes[name] = Recipe(
            task, task.versions, task.call, task.timeout, task.middlewares, task.memory
        )

    def knows(self, task: str, policy: bytes) -> bool:
        """Whether jobs of the task, of the version that is in this policy, can be run here."""
        recipe = self.recipes.get(task)
        return recipe is not None and decode_policy(policy).version in recipe.versions

    def attend(self) -> None:
        """Look whether anybody listens; asked once per feed instead of once per job."""
        self._tells_start = self.program.events.wants(Started)
        self._tells_end = self.program.events.wants(Finished)

    def context(self, job: Claimed, recipe: Recipe) -> Context:
        """The context of an attempt that begins now."""
        limit = decode_policy(job.policy).timeout or recipe.timeout
        deadline = None if limit is None else time.monotonic() + limit / 1_000_000
        return Context(job, worker=self.worker, deadline=deadline, channel=self.reporter)

    def begin(self, job: Claimed, spot: int) -> None:
        """From here on the attempt counts, even if this process dies."""
        self.marks[spot] = 1
        if self._tells_start:
            self.program.events.emit(Started(job, self.worker))

    def call(self, recipe: Recipe, payload: bytes, context: Context) -> bytes | None:
        """Call a function and encode what it returns. Raises whatever it raises."""
        if not recipe.middlewares:
            return self._called(recipe, payload, context)
        with contextlib.ExitStack() as stack:
            for middleware in recipe.middlewares:
                stack.enter_context(middleware(context))
            return self._called(recipe, payload, context)
        return None  # a middleware may swallow the error

    def awaitable(self, recipe: Recipe, payload: bytes, context: Context) -> Awaitable[Any]:
        """Call a coroutine function; awaiting the answer gives the value, not yet encoded."""
        answer: Awaitable[Any]
        if recipe.middlewares:
            answer = _awaited_within(recipe, payload, context)
        else:
            answer = recipe.call(payload, context)
        return answer

    def leave_if_copy(self) -> None:
        """End this process if it is a fork that came back: the job is the other one's to end."""
        if self.is_copy:
            os._exit(0)

    def succeed(self, job: Claimed, took: int, result: bytes | None, settled: bool = False) -> None:
        """The function returned."""
        # The transition `decide` makes of a plain success, without the detour: most jobs end so.
        transition = Transition(job.number, job.token, State.COMPLETED, 0, took, result)
        self.finish(job, transition, settled)
        if settled and result is not None:
            log.warning(
                "task %s completed itself by transaction(): what it returned is dropped;"
                " say transaction(result=...)",
                job.task,
            )

    def fail(self, job: Claimed, took: int, error: BaseException, settled: bool = False) -> None:
        """The function raised."""
        task = self.recipes[job.task].task
        self.end(job, took, self._outcome(error, job, task), settled)

    def time_out(self, job: Claimed, took: int) -> None:
        """The attempt went beyond its time limit."""
        limit = decode_policy(job.policy).timeout or self.recipes[job.task].timeout or 0
        message = f"did not end within its time limit of {limit / 1_000_000:g} s"
        error = self.error(job, "TimeLimit", message, reason=Reason.TIMED_OUT)
        self.end(job, took, Failed(error, reason=Reason.TIMED_OUT))

    def end(self, job: Claimed, took: int, outcome: Outcome, settled: bool = False) -> None:
        """The attempt ended so."""
        transition = msgspec.structs.replace(decide(job, outcome), took=took)
        self.finish(job, transition, settled)

    def finish(self, job: Claimed, transition: Transition, settled: bool = False) -> None:
        """Pass on how an attempt ended; one that completed in its own transaction is settled."""
        if settled:
            transition = Transition(job.number, job.token, State.COMPLETED, 0, transition.took)
            self.reporter.settle(job.number)
        else:
            self.reporter.finish(transition)
        if self._tells_end:
            self.program.events.emit(Finished(job, transition, self.worker))

    def error(self, job: Claimed, kind: str, message: str, **more: str) -> JobError:
        """An error of this attempt, now."""
        return JobError(
            attempt=job.attempt,
            type=kind,
            message=message,
            worker=self.worker,
            at=time.time_ns() // 1000,
            **more,
        )

    def _called(self, recipe: Recipe, payload: bytes, context: Context) -> bytes | None:
        try:
            value = recipe.call(payload, context)
            if value is not None and isawaitable(value):
                # A plain function may return a coroutine, as wrappers around `async def` do.
                import asyncio

                value = asyncio.run(_awaited(value))
        finally:
            if self.is_copy:
                self.leave_if_copy()
        return None if value is None else encoded(recipe.task, value)

    def _outcome(self, error: BaseException, job: Claimed, task: Runnable) -> Outcome:
        steering = _steering(error)
        if steering is None:
            return self._failure(error, job, task)
        try:
            return self._steered(steering, job)
        except InvalidArguments as wrong:
            return self._failure(wrong, job, task)

    def _steered(self, steering: Steering, job: Claimed) -> Outcome:
        match steering:
            case Snooze(delay=delay):
                return Snoozed(microseconds(delay, "Snooze"), _told(steering) or Reason.SNOOZED)
            case RateLimited(delay=delay):
                reason = _told(steering) or Reason.RATE_LIMITED
                return Snoozed(microseconds(delay, "RateLimited"), reason)
            case Cancel():
                return Cancelled(_told(steering))
            case RetryAfter(delay=delay):
                told = self.error(job, "RetryAfter", _told(steering))
                return Failed(told, delay=microseconds(delay, "RetryAfter"))
            case Reject():
                told = self.error(job, "Reject", _told(steering))
                return Failed(told, permanent=True, reason=Reason.REJECTED)
        return self._failure(steering, job, self.recipes[job.task].task)

    def _failure(self, error: BaseException, job: Claimed, task: Runnable) -> Failed:
        cause = error.__cause__ if isinstance(error, Unstorable) else None
        told = self.error(job, _name(cause or error), _told(error), traceback=_traceback(error))
        if isinstance(error, Unstorable) or not task.retry.wants(error):
            return Failed(told, permanent=True)
        try:
            return Failed(told, delay=task.retry.custom_delay(job.attempt, error))
        except BaseException:  # an exit would end the thread, and nobody would hear of the job
            log.exception("the backoff of task %s failed; its stored policy decides", task.name)
            return Failed(told)


class Unstorable(InvalidArguments):
    """A function returned what cannot be stored. Running it again would not change that."""


def encoded(task: Runnable, value: Any) -> bytes | None:
    """The value as it is stored; `Unstorable` if it cannot be."""
    try:
        return task.encode_result(value)
    except Exception as error:
        raise Unstorable(str(error)) from error


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


async def _awaited_within(recipe: Recipe, payload: bytes, context: Context) -> Any:
    with contextlib.ExitStack() as stack:
        for middleware in recipe.middlewares:
            stack.enter_context(middleware(context))
        return await recipe.call(payload, context)
    return None  # a middleware may swallow the error


def _steering(error: BaseException) -> Steering | None:
    """What the error asks for. A group asks for something only if every leaf of it does."""
    if isinstance(error, BaseExceptionGroup):
        leaves = list(_leaves(error))
        steers = [leaf for leaf in leaves if isinstance(leaf, Steering)]
        return steers[0] if steers and len(steers) == len(leaves) else None
    return error if isinstance(error, Steering) else None


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _name(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__", "__mp_main__"):
        return kind.__qualname__
    return _clean(lambda: f"{kind.__module__}.{kind.__qualname__}")


def _told(error: BaseException) -> str:
    """The error's words, whatever its class does to hide them."""
    return _clean(lambda: str(error)[:LONGEST_MESSAGE])


def _traceback(error: BaseException) -> str:
    """The traceback from the first frame that is not ours."""
    frame = error.__traceback__
    while frame and frame.tb_frame.f_globals.get("__name__", "").startswith(OURS):
        frame = frame.tb_next
    return _clean(
        lambda: "".join(traceback.format_exception(type(error), error, frame, limit=-MOST_FRAMES))[
            -LONGEST_TRACEBACK:
        ]
    )


def _clean(text: Callable[[], str]) -> str:
    try:
        # A lone surrogate cannot be stored, nor sent to the parent.
        return text().encode(errors="backslashreplace").decode()
    except BaseException as trouble:
        return f"<the error cannot be put into words: {type(trouble).__name__}>"
