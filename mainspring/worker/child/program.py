"""What the worker needs of a user's app, as protocols: it imports neither the app nor its tasks."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

from mainspring.context import Context
from mainspring.events import Bus
from mainspring.retry import Retry
from mainspring.store import Store

Kind = Literal["thread", "async", "batch", "process"]

Middleware = Callable[[Context], AbstractContextManager[Any]]
"""Entered around the call of a function; of a batch's, with the context of one of its jobs."""


class Runnable(Protocol):
    """A declared task at run time. `timeout` in microseconds, `memory` in bytes."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def versions(self) -> range:
        """The versions of the task whose jobs it can run."""
        ...

    @property
    def retry(self) -> Retry: ...
    @property
    def timeout(self) -> int | None: ...
    @property
    def memory(self) -> int | None: ...
    @property
    def middlewares(self) -> Sequence[Middleware]: ...

    def resolve(self) -> None:
        """Look at its annotations now, not at the first job; `TaskError`."""
        ...

    def call(self, payload: bytes, context: Context, /) -> Any:
        """Decode the arguments and call the function: a value, or an awaitable of one."""
        ...

    def encode_result(self, value: Any, /) -> bytes | None:
        """The value as it is stored."""
        ...


class BatchRunnable(Runnable, Protocol):
    """A task called with many items at once. `wait` in microseconds."""

    @property
    def size(self) -> int: ...
    @property
    def wait(self) -> int: ...

    def decode(self, payload: bytes, version: int, /) -> Any:
        """The item of one job, made by that version of the task."""
        ...

    def call_many(self, items: list[Any], /) -> Sequence[Any]:
        """One value or exception for each item, in order."""
        ...


class Program(Protocol):
    """The app: what a child imports, or `in_process=True` is given."""

    @property
    def tasks(self) -> Mapping[str, Runnable]:
        """The app's tasks by name, aliases included."""
        ...

    @property
    def events(self) -> Bus: ...
    @property
    def url(self) -> str: ...
    @property
    def api_key(self) -> str | None: ...
    @property
    def store(self) -> Store: ...

    def here(self) -> AbstractContextManager[Any]:
        """Within it, tasks enqueue into this app."""
        ...
