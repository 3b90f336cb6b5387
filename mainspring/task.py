"""Task: a declared function with a name and policies. The registry is in registry.py.

To call a task is to call its function, here and now; `enqueue` stores a job that calls it later.
"""

import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    Unpack,
    cast,
    final,
)

from msgspec.structs import replace

from mainspring import codec
from mainspring.context import LARGEST_RESULT, Context
from mainspring.errors import InvalidArguments, TransactionError
from mainspring.forms import BatchForm, Form, FunctionForm, check_runs_in
from mainspring.handle import Job
from mainspring.ids import new_id
from mainspring.job import NewJob
from mainspring.options import LONGEST_KEY, Declared, Options, apply, given_id
from mainspring.upgrades import Upgrade, Upgrades

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
S = TypeVar("S")
U = TypeVar("U", bound=Upgrade)

Kind = Literal["thread", "async", "batch", "process"]
Middleware: TypeAlias = Callable[[Context], AbstractContextManager[Any]]

_NAMED_OTHERWISE = {
    "delay": ".enqueue(...)",
    "apply_async": ".using(...).enqueue(...)",
    "send": ".enqueue(...)",
    "send_with_options": ".using(...).enqueue(...)",
    "kiq": ".aenqueue(...)",
    "kicker": ".using(...)",
    "s": ".job(...)",
    "si": ".job(...)",
}
"""What other libraries call it, and what it is called here."""


class Target(Protocol):
    """Where jobs are put: an app."""

    def put(
        self, jobs: Sequence[NewJob[Any]], *, tx: Any = None, task: "Task[..., Any] | None" = None
    ) -> list[Job[Any]]:
        """Store the jobs in one transaction."""
        ...

    async def aput(
        self, jobs: Sequence[NewJob[Any]], *, tx: Any = None, task: "Task[..., Any] | None" = None
    ) -> list[Job[Any]]:
        """The async twin of `put`."""
        ...


class Registry(Protocol):
    """What a task needs of the registry it was declared in."""

    def target(self) -> Target:
        """The app that enqueues go to; `NotBound`."""
        ...

    @property
    def middlewares(self) -> tuple[Middleware, ...]: ...


class Task(Generic[P, R_co]):
    """A declared function. `P` are its parameters, `R` what its job results in.

    `name` is stored with each job and finds the function again; `retry`, `timeout`
    (microseconds) and `memory` (bytes) are its policies.
    """

    def __init__(self, form: Form, registry: Registry, declared: Declared) -> None:
        self.name = declared.name
        self.aliases = declared.aliases
        self.retry = declared.retry
        self.memory = declared.memory
        self.version = declared.template.policy.version
        self.place = form.place
        self._form = form
        named = isinstance(form, FunctionForm)
        self._upgrades = Upgrades(self.name, form.place, self.version, named=named)
        self._registry = registry
        self._template: NewJob[Any] = declared.template
        self._key_by = declared.key_by
        self._unique_by = declared.unique_by
        self._runs_in = declared.runs_in
        self._id: bytes | None = None
        self._tx: Any = None

    @property
    def kind(self) -> Kind:
        """Where the function runs: "thread" (def), "async" (async def), "batch", or where the
        policy `runs_in` says."""
        return self._runs_in or self._form.colour

    @property
    def timeout(self) -> int | None:
        """How long one attempt may run, in microseconds; None: for ever."""
        return self._template.policy.timeout

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """What wraps each execution, the outermost first."""
        return self._registry.middlewares

    @property
    def versions(self) -> range:
        """The versions of this task whose jobs can be run here: its own, and those before it from
        which upgrades lead to it."""
        return self._upgrades.versions

    def upgrade(self, *, from_: int) -> Callable[[U], U]:
        """Declare how a payload of version `from_` becomes one of the next version.

        The function gets what was stored, as plain JSON values: the object of named arguments, a
        batch's item, a handler's whole payload. It returns the same of the next version, and is
        called each time such a job runs. `TaskError` if `from_` has an upgrade already, or is not
        before the task's own version.
        """

        def declare(function: U) -> U:
            self._upgrades.add(from_, function)
            return function

        return declare

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob[R_co]:
        """The job as a value, for `app.enqueue`, `app.enqueue_many` and `depends_on`.

        `InvalidArguments` if the arguments do not fit the function's annotations.
        """
        if self._tx is not None:
            raise TransactionError(
                f"{self.name}: .job(...) stores nothing, so tx= says nothing here;"
                " give it to app.enqueue(job, tx=...)"
            )
        return self._make(*self._form.pack(args, kwargs))

    def job_of(self, payload: object) -> NewJob[R_co]:
        """The same from one object of named arguments, as programs give it that only know names."""
        return self._make(*self._form.pack_object(payload))

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R_co]:
        """Store a job that calls the function with these arguments.

        It goes to the app of `with app.here():`, else to the one app that has this registry;
        `NotBound` if there is none, or more than one.
        """
        job = self._make(*self._form.pack(args, kwargs))
        return self._registry.target().put((job,), tx=self._tx, task=self)[0]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R_co]:
        """The async twin of `enqueue`; concurrent calls share a transaction."""
        job = self._make(*self._form.pack(args, kwargs))
        return (await self._registry.target().aput((job,), tx=self._tx, task=self))[0]

    def using(self, **options: Unpack[Options]) -> Self:
        """The same task with these options for its jobs; it is not registered again."""
        return self._using(options)

    def resolve(self) -> None:
        """Look at all annotations now, not at the first job; `TaskError`."""
        self._form.resolve()
        check_runs_in(self._form, self._runs_in)

    def decode(self, payload: bytes, version: int) -> Any:
        """What the stored payload of that version holds, upgraded: what the function would be
        called with.

        `UnknownTask` if it cannot be upgraded, `InvalidArguments` if it does not fit, else what an
        upgrade raises.
        """
        return self._form.unpack(self._upgrades.apply(payload, version))

    def call(self, payload: bytes, context: Context) -> Any:
        """Call the function with a stored payload: a value, or an awaitable of it.

        Raises what `decode` does.
        """
        if self._upgrades:
            payload = self._upgrades.apply(payload, context.version)
        return self._form.call(payload, context)

    def encode_result(self, value: object) -> bytes | None:
        """What is stored of a returned value; `InvalidArguments` if it cannot be."""
        return codec.encode_result(value, f"result of {self.name}", LARGEST_RESULT.get())

    def decode_result(self, data: bytes) -> Any:
        """A stored result, of the type the function declares."""
        return self._form.decode_result(data)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def _using(self, options: Mapping[str, Any]) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._template = apply(options, self._template)
        other._tx = options.get("tx", self._tx)
        other._id = given_id(options) or self._id
        return other

    def _make(self, payload: bytes, given: Any) -> NewJob[R_co]:
        template, id = self._template, self._id or new_id()
        key, unique = template.key, template.unique
        if key is None and self._key_by is not None:
            key = self._key(getattr(given, self._key_by))
        if unique is None and self._unique_by:
            unique = self._unique(given)
        return replace(template, id=id, payload=payload, key=key, unique=unique)

    def _key(self, value: object) -> str | None:
        if value is None:
            return None
        key = value if isinstance(value, str) else codec.canonical(value).strip('"')
        if not 0 < len(key) <= LONGEST_KEY:
            raise InvalidArguments(
                f"{self.name}: {self._key_by}: a key has 1 to {LONGEST_KEY} characters,"
                f" got {len(key)}"
            )
        return key

    def _unique(self, given: Any) -> str:
        """The task's name and the values: readable while short, else their digest."""
        names = self._unique_by
        values = given if names == "all" else [getattr(given, name) for name in names]
        told = codec.canonical(values)
        if len(told) > LONGEST_KEY // 2:
            import hashlib

            told = hashlib.sha256(told.encode()).hexdigest()
        return f"{self.name}:{told}"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            hint = _NAMED_OTHERWISE.get(name)
            told = f"; here it is {hint}" if hint else ""
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}{told}", name=name, obj=self
            )


class _FunctionTask(Task[P, R_co]):
    """A task made by a decorator: it stands where the function stood."""

    __name__: str
    __qualname__: str

    def __init__(
        self, form: FunctionForm | BatchForm, registry: Registry, declared: Declared
    ) -> None:
        super().__init__(form, registry, declared)
        self.function = form.function
        functools.update_wrapper(cast(Any, self), form.function, updated=())


@final
class SyncTask(_FunctionTask[P, R_co]):
    """A task that is a plain function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function here and now."""
        return cast(R_co, self.function(*args, **kwargs))


@final
class AsyncTask(_FunctionTask[P, R_co]):
    """A task that is a coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function here and now: await the answer."""
        return cast(Coroutine[Any, Any, R_co], self.function(*args, **kwargs))


@final
class BatchTask(_FunctionTask[P, R_co], Generic[P, R_co, T, S]):
    """A task whose jobs carry one item each, and whose function takes many.

    A call waits up to `wait` microseconds for up to `size` items.
    """

    def __init__(
        self, form: BatchForm, registry: Registry, declared: Declared, *, size: int, wait: int
    ) -> None:
        super().__init__(form, registry, declared)
        self._batch = form
        self.size = size
        self.wait = wait

    def __call__(self, items: list[T], /) -> S:
        """Call the function here and now."""
        return cast(S, self.function(items))

    @property
    def kind(self) -> Kind:
        return "batch"

    def call_many(self, items: Sequence[Any]) -> list[Any]:
        """Call the function: one outcome per item, in order, an Exception where it failed.

        `TaskError` if it returns anything else than as many outcomes, or None for all.
        """
        return self._batch.call_many(items)
