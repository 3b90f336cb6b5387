"""Tasks: a registry of tasks. Holds no connection; may be imported anywhere."""

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Never, ParamSpec, Protocol, TypeAlias, TypeVar, Unpack, cast, overload

from mainspring import codec
from mainspring.context import Context
from mainspring.durations import Duration, microseconds
from mainspring.errors import InvalidArguments, NotBound, TaskError
from mainspring.forms import BatchForm, FunctionForm, HandlerForm, check_runs_in
from mainspring.ids import new_id
from mainspring.job import NewJob
from mainspring.options import Declared, Options, Policies, apply, declare, given_id, text
from mainspring.task import AsyncTask, BatchTask, Middleware, SyncTask, Target, Task

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

LARGEST_BATCH = 10_000

HERE: ContextVar[Target | None] = ContextVar("mainspring.app", default=None)
"""The app of `with app.here():`."""


class Executes(Protocol):
    """A module or object with `execute`."""

    def execute(self, payload: Any, /) -> Any:
        """Handle the payload."""
        ...


class ExecutesInContext(Protocol):
    """A module or object with an `execute` that asks for the context."""

    def execute(self, payload: Any, context: Context, /) -> Any:
        """Handle the payload."""
        ...


Handler: TypeAlias = (
    Callable[[Any], Any] | Callable[[Any, Context], Any] | Executes | ExecutesInContext | str
)
"""What takes a whole payload: a function, something with `execute`, or "module:attribute"."""

H = TypeVar("H", bound=Handler)
M = TypeVar("M", bound=Middleware)


class TaskDecorator(Protocol):
    """What `@tasks.task(...)` does with a function."""

    @overload
    def __call__(self, fn: Callable[P, Never], /) -> SyncTask[P, Any]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncTask[P, R]: ...


class BatchDecorator(Protocol):
    """What `@tasks.batch(...)` does with a function."""

    @overload
    def __call__(self, fn: Callable[[list[T]], None], /) -> BatchTask[[T], None, T, None]: ...
    @overload
    def __call__(
        self, fn: Callable[[list[T]], Sequence[R | Exception]], /
    ) -> BatchTask[[T], R, T, Sequence[R | Exception]]: ...


class Tasks(Mapping[str, Task[..., Any]]):
    """A registry: from names, and names tasks had before, to tasks.

    `prefix` stands, with a dot, before the name of each function and handler declared here.
    Mistakes in a declaration are a `TaskError` that says where it was made.
    """

    def __init__(self, prefix: str = "", handlers: Mapping[str, Handler] | None = None) -> None:
        self.prefix = text(prefix, "prefix") if prefix else ""
        self._tasks: dict[str, Task[..., Any]] = {}
        self._middlewares: list[Middleware] = []
        self._parents: list[Tasks] = []
        self._targets: list[Target] = []
        for name, handler in (handlers or {}).items():
            self.handler(name, handler)

    @overload
    def task(self, fn: Callable[P, Never], /) -> SyncTask[P, Any]: ...  # type: ignore[overload-overlap]
    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def task(self, fn: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(self, /, **policies: Unpack[Policies]) -> TaskDecorator: ...
    def task(self, fn: Any = None, /, **policies: Any) -> Any:
        """Declare a function as a task, with or without policies (see `Policies`)."""
        if fn is None:
            return functools.partial(self._declare, policies)
        return self._declare(policies, fn)

    def batch(
        self, *, size: int = 100, wait: Duration = 0.05, **policies: Unpack[Policies]
    ) -> BatchDecorator:
        """Declare a function that takes a list: each job carries one item.

        It is called with up to `size` items (1 to 10,000), as soon as they are there or the first
        has waited for `wait`. It returns one outcome per item, in order, an Exception for each
        that failed, or None for all.
        """
        return cast(BatchDecorator, functools.partial(self._declare_batch, policies, size, wait))

    @overload
    def handler(self, name: str, /, **policies: Unpack[Policies]) -> Callable[[H], H]: ...
    @overload
    def handler(self, name: str, fn: H, /, **policies: Unpack[Policies]) -> H: ...
    def handler(self, name: str, fn: Any = None, /, **policies: Any) -> Any:
        """Register by name what takes whole payloads, as (payload) or (payload, context).

        Gives it back unchanged. "module:attribute" is imported when the first job runs.
        """
        if fn is None:
            return functools.partial(self._declare_handler, policies, name)
        return self._declare_handler(policies, name, fn)

    def middleware(self, middleware: M) -> M:
        """Wrap each execution of the tasks here, and in registries included here.

        It is called with the `Context` and gives a context manager (a plain one, also for async
        tasks). The first declared is the outermost; an including registry's are outside.
        """
        self._middlewares.append(middleware)
        return middleware

    def job_by_name(self, name: str, payload: object, options: Mapping[str, Any], /) -> NewJob[Any]:
        """A job as a value, of the task of that name; `options` are `Options` without `tx`.

        If the task is declared here its policies hold and the payload is checked, else both are
        taken as they are. `InvalidArguments`.
        """
        if name in self._tasks:
            declared = self._tasks[name]
            return declared.using(**cast(Options, options)).job_of(payload)
        id = given_id(options) or new_id()
        encoded = codec.encode(payload, name)
        return apply(options, NewJob(id=id, task=text(name, "task"), payload=encoded))

    def include(self, other: "Tasks") -> None:
        """Take in all tasks of another registry, also those that are declared there later."""
        if self is other or other in self._ancestry():
            raise TaskError("a registry cannot include itself, nor one that includes it")
        if self not in other._parents:
            self._admit(other._tasks)
            other._parents.append(self)

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """What wraps each execution of a task declared here, the outermost first."""
        inherited = [each for parent in self._parents for each in parent.middlewares]
        return tuple(dict.fromkeys([*inherited, *self._middlewares]))

    def target(self) -> Target:
        """The app of `with app.here():`, else the one open app of this registry; `NotBound`."""
        if here := HERE.get():
            return here
        targets = list(dict.fromkeys(self._all_targets()))
        if len(targets) == 1:
            return targets[0]
        if targets:
            raise NotBound(
                f"{len(targets)} open apps have this registry: say which, by"
                " app.enqueue(task.job(...)) or `with app.here():`"
            )
        raise NotBound(
            "no open app has this registry: make one by Mainspring(url, tasks), or say"
            " app.enqueue(task.job(...))"
        )

    def bind(self, target: Target) -> None:
        """Let enqueues go to this app. For the app itself."""
        self._targets.append(target)

    def unbind(self, target: Target) -> None:
        """The opposite. Repeatable."""
        self._targets = [each for each in self._targets if each is not target]

    def __getitem__(self, name: str) -> Task[..., Any]:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def _declare(self, policies: Mapping[str, Any], fn: Any) -> Task[..., Any]:
        fn = fn.__func__ if isinstance(fn, staticmethod) else fn
        name, place = self._named(fn, policies)
        form = FunctionForm(name, place, fn)
        declared = _declared(name, place, policies, list(form.signature.parameters))
        check_runs_in(form, declared.runs_in)
        _warn_of_second_import(fn, place)
        kind = AsyncTask if "async" in (form.colour, declared.runs_in) else SyncTask
        return self._add(kind(form, self, declared))

    def _declare_batch(
        self, policies: Mapping[str, Any], size: int, wait: Duration, fn: Any
    ) -> Task[..., Any]:
        fn = fn.__func__ if isinstance(fn, staticmethod) else fn
        name, place = self._named(fn, policies)
        form = BatchForm(name, place, fn)
        declared = _declared(name, place, policies, None)
        check_runs_in(form, declared.runs_in)
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= LARGEST_BATCH:
            raise TaskError(f"{place}: size: expected 1 to {LARGEST_BATCH:,}, got {size!r}")
        try:
            patience = microseconds(wait, "wait")
        except InvalidArguments as error:
            raise TaskError(f"{place}: {error}") from None
        return self._add(BatchTask(form, self, declared, size=size, wait=patience))

    def _declare_handler(self, policies: Mapping[str, Any], name: str, fn: Any) -> Any:
        name = policies.get("name") or self._prefixed(name)
        target = fn.__func__ if isinstance(fn, staticmethod) else fn
        form = HandlerForm(name, target)
        declared = _declared(name, form.place, policies, None)
        if not isinstance(target, str):
            check_runs_in(form, declared.runs_in)
        self._add(Task(form, self, declared))
        return fn

    def _named(self, fn: Any, policies: Mapping[str, Any]) -> tuple[str, str]:
        """The task's name, and where it is declared."""
        given = policies.get("name")
        own = getattr(fn, "__name__", None)
        name = given or (self._prefixed(own) if own else repr(fn))
        place = f"{_location(fn)}: task {name!r}"
        if isinstance(fn, type) or not callable(fn):
            raise TaskError(f"{place}: expected a function, got {fn!r}")
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TaskError(f"{place}: a generator cannot be a task; return a list")
        if isinstance(fn, Task):
            raise TaskError(f"{place}: is a task already")
        if not given and (not own or own == "<lambda>"):
            raise TaskError(f'{place}: has no name of its own; say name="..."')
        return name, place

    def _prefixed(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix else name

    def _add(self, task: Task[..., Any]) -> Task[..., Any]:
        self._admit(dict.fromkeys((task.name, *task.aliases), task))
        return task

    def _admit(self, tasks: Mapping[str, Task[..., Any]]) -> None:
        """Take all of them in, here and in all registries that include this one, or none."""
        registries = (self, *self._ancestry())
        for registry in registries:
            for name, task in tasks.items():
                registry._check_free(name, task)
        for registry in registries:
            registry._tasks.update(tasks)

    def _check_free(self, name: str, task: Task[..., Any]) -> None:
        other = self._tasks.get(name)
        if other is not None and other is not task:
            raise TaskError(f"{task.place}: the name {name!r} is taken by {other.place}")

    def _ancestry(self) -> "list[Tasks]":
        found = [each for parent in self._parents for each in (parent, *parent._ancestry())]
        return list(dict.fromkeys(found))

    def _all_targets(self) -> Iterator[Target]:
        yield from self._targets
        for parent in self._parents:
            yield from parent._all_targets()


def _declared(
    name: str, place: str, policies: Mapping[str, Any], parameters: Sequence[str] | None
) -> Declared:
    try:
        return declare(name, policies, parameters)
    except InvalidArguments as error:
        raise TaskError(f"{place}: {error}") from None


def _location(fn: Any) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(fn)


def _warn_of_second_import(fn: Any, place: str) -> None:
    """`python app.py` with `import app` elsewhere runs app.py twice, with two registries."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    mains = ("__main__", "__mp_main__")
    if code and main and code.co_filename == main and fn.__module__ not in mains:
        warnings.warn(
            f"{place}: declared twice, because the file was run and is now imported too;"
            " keep tasks in a module that is only imported",
            RuntimeWarning,
            stacklevel=4,
        )
