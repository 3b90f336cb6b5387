"""What may be said of one job (`Options`) and of all jobs of a task (`Policies`), checked.

Durations are seconds, a timedelta or text like "5m". Knows no task and no store.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict, cast, get_args
from uuid import UUID

from msgspec.structs import replace

from mainspring.durations import Duration, microseconds, moment
from mainspring.errors import InvalidArguments
from mainspring.job import (
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    Edge,
    Identified,
    NewJob,
    Policy,
    identity,
)
from mainspring.retry import Retry
from mainspring.sizes import MB, TB, Size, in_bytes

RunsIn: TypeAlias = Literal["thread", "async", "process"]
OnDuplicate = Literal["return", "replace", "error"]

LEAST_MEMORY, MOST_MEMORY = 16 * MB, TB
LATEST_VERSION = 1_000_000

LONGEST_NAME = 255
LONGEST_KEY = 1000
MOST_TAGS = 100


class Options(TypedDict, total=False):
    """Options of one job.

    `priority` from -100 to 100, higher first; `delay` or `run_at`, not both; `expires` limits how
    long the job waits, `timeout` how long one attempt runs. Of `retry` the numbers travel with
    the job; which errors count, and a backoff that is a function, are the task's own. `key` names
    what the job belongs to, `unique` what may exist only once, until the job ends and at least for
    `unique_for`. `depends_on` are jobs that must end well first. `tx` is a connection whose open
    transaction the insert becomes part of.
    """

    queue: str
    priority: int
    delay: Duration
    run_at: datetime
    expires: Duration
    key: str
    unique: str
    unique_for: Duration
    on_duplicate: OnDuplicate
    retry: Retry
    max_retries: int
    timeout: Duration
    keep_result: Duration
    headers: Mapping[str, str]
    tags: Sequence[str]
    label: str
    id: UUID
    depends_on: "Sequence[NewJob[Any] | Identified | UUID | str]"
    tx: Any


class Policies(TypedDict, total=False):
    """What holds for all jobs of a task, unless an option of the job says otherwise.

    `key_by` and `unique_by` name parameters, whose values make a job's key and unique key;
    `unique_by="all"` takes them all. `aliases` are names the task had before; `version` (1 to
    1,000,000, default 1) is raised when payloads change, see `Task.upgrade`. `max_retries` is
    short for `retry=Retry(max_retries=...)`. `runs_in="process"` runs the function in a process of
    its own kind, one job at a time, and `memory` (bytes or "512MB"; 16 MB to 1 TB) is what that
    process may take.
    """

    name: str
    aliases: Sequence[str]
    version: int
    queue: str
    priority: int
    retry: Retry
    max_retries: int
    timeout: Duration
    expires: Duration
    runs_in: RunsIn
    memory: Size
    key_by: str
    unique_by: Sequence[str] | Literal["all"]
    unique_for: Duration
    on_duplicate: OnDuplicate
    keep_result: Duration
    tags: Sequence[str]


class Declared(NamedTuple):
    """Policies, checked. The template is a job of the task that lacks only its payload."""

    template: NewJob[Any]
    retry: Retry
    aliases: tuple[str, ...]
    key_by: str | None
    unique_by: "tuple[str, ...] | Literal['all']"
    runs_in: RunsIn | None
    memory: int | None

    @property
    def name(self) -> str:
        """The task's name."""
        return self.template.task


def declare(name: str, policies: Mapping[str, Any], parameters: Sequence[str] | None) -> Declared:
    """Check the policies of a task called `name`; `InvalidArguments` says what is wrong.

    `parameters` are what `key_by` and `unique_by` may name, None if its payload has no names.
    """
    if unknown := [each for each in policies if each not in Policies.__annotations__]:
        known = ", ".join(Policies.__annotations__)
        raise InvalidArguments(f"unknown policy {unknown[0]!r}; expected one of {known}")
    retry = policies.get("retry", Retry())
    if "max_retries" in policies:
        retry = Retry(max_retries=policies["max_retries"])
    first = Policy(version=_version(policies.get("version", 1)))
    empty: NewJob[Any] = NewJob(id=b"", task=text(name, "name"), payload=b"", policy=first)
    options = {each: policies[each] for each in policies if each in Options.__annotations__}
    key_by, unique_by = policies.get("key_by"), policies.get("unique_by", ())
    if isinstance(unique_by, str) and unique_by != "all":
        raise InvalidArguments(
            f'unique_by: expected a list of parameters or "all", got {unique_by!r}'
        )
    for policy, named in (("key_by", [key_by]), ("unique_by", unique_by)):
        if named not in ([None], "all"):
            _check_named(policy, named, parameters)
    return Declared(
        template=apply(options, empty),
        retry=retry,
        aliases=texts(policies.get("aliases", ()), "aliases"),
        key_by=key_by,
        unique_by=unique_by if unique_by == "all" else tuple(unique_by),
        runs_in=_runs_in(policies),
        memory=_memory(policies),
    )


def _version(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LATEST_VERSION:
        raise InvalidArguments(f"version: expected 1 to {LATEST_VERSION:,}, got {value!r}")
    return value


def _runs_in(policies: Mapping[str, Any]) -> RunsIn | None:
    wish = policies.get("runs_in")
    if wish is not None and wish not in get_args(RunsIn):
        known = '"thread", "async" or "process"'
        raise InvalidArguments(f"runs_in: expected {known}, got {wish!r}")
    return cast(RunsIn | None, wish)


def _memory(policies: Mapping[str, Any]) -> int | None:
    if "memory" not in policies:
        return None
    if policies.get("runs_in") != "process":
        raise InvalidArguments(
            'memory: only a process can be held to it; say runs_in="process", too'
        )
    return in_bytes(policies["memory"], "memory", LEAST_MEMORY, MOST_MEMORY)


def _check_named(policy: str, named: Iterable[Any], parameters: Sequence[str] | None) -> None:
    for name in named:
        if parameters is None:
            raise InvalidArguments(
                f"{policy}: the payload is taken whole and has no parameters;"
                " say `.using(key=..., unique=...)` for each job"
            )
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise InvalidArguments(f"{policy}: no parameter {name!r}; there are {known}")


def apply(options: Mapping[str, Any], job: NewJob[Any]) -> NewJob[Any]:
    """The job with these options, but for `id` and `tx`. `InvalidArguments` names the option."""
    if not options:
        return job
    if "delay" in options and "run_at" in options:
        raise InvalidArguments("expected delay or run_at, got both")
    if "retry" in options and "max_retries" in options:
        raise InvalidArguments("expected retry or max_retries, got both")
    fields: dict[str, Any] = {}
    rules: dict[str, Any] = {}
    for name, value in options.items():
        if reader := _FIELDS.get(name):
            fields[name] = reader(value, name)
        elif rule := _RULES.get(name):
            rules[rule[0]] = rule[1](value, name)
        elif name == "depends_on":
            fields["edges"] = job.edges + _edges(value)
        elif name not in ("id", "tx"):
            known = ", ".join(Options.__annotations__)
            raise InvalidArguments(f"unknown option {name!r}; expected one of {known}")
    if "delay" in fields:
        fields["run_at"] = None
    if "run_at" in fields:
        fields.setdefault("delay", 0)
    if rules:
        fields["policy"] = replace(job.policy, **rules)
    return replace(job, **fields)


def given_id(options: Mapping[str, Any]) -> bytes | None:
    """The id among the options, if there is one."""
    id = options.get("id")
    if id is not None and not isinstance(id, UUID):
        raise InvalidArguments(f"id: expected a UUID, got {id!r}")
    return None if id is None else id.bytes


def text(value: object, what: str, longest: int = LONGEST_NAME) -> str:
    """The value, if it is text that every engine can keep: 1 to `longest` printable characters."""
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        got = (
            f"{len(value)} of them"
            if isinstance(value, str) and len(value) > longest
            else ascii(value)
        )
        raise InvalidArguments(f"{what}: expected 1 to {longest} printable characters, got {got}")
    return value


def texts(values: object, what: str) -> tuple[str, ...]:
    """The values as a tuple, each as `text` wants it; a lone string is refused."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidArguments(f"{what}: expected a list of texts, got {values!r}")
    found = tuple(text(value, what) for value in values)
    if len(found) > MOST_TAGS:
        raise InvalidArguments(f"{what}: expected at most {MOST_TAGS}, got {len(found)}")
    return found


def _key(value: object, what: str) -> str:
    return text(value, what, LONGEST_KEY)


def _priority(value: object, what: str) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not LOWEST_PRIORITY <= value <= HIGHEST_PRIORITY
    ):
        raise InvalidArguments(
            f"{what}: expected {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}, got {value!r}"
        )
    return value


def _span(value: Any, what: str) -> int:
    """A duration that must not be nothing."""
    span = microseconds(value, what)
    if not span:
        raise InvalidArguments(f"{what}: expected more than 0 seconds, got {value!r}")
    return span


def _on_duplicate(value: object, what: str) -> str:
    if value not in ("return", "replace", "error"):
        raise InvalidArguments(f'{what}: expected "return", "replace" or "error", got {value!r}')
    return str(value)


def headers_of(value: object, what: str) -> dict[str, str]:
    """The headers as a mapping of texts that can be stored."""
    if not isinstance(value, Mapping) or len(value) > MOST_TAGS:
        raise InvalidArguments(f"{what}: expected a mapping of at most {MOST_TAGS}, got {value!r}")
    return {text(k, what): _header(v, f"{what}[{k!r}]") for k, v in value.items()}


def _header(value: object, what: str) -> str:
    """Unlike a name, a header's value may be empty and hold spaces of any kind."""
    if not isinstance(value, str) or len(value) > LONGEST_KEY or "\0" in value:
        raise InvalidArguments(
            f"{what}: expected text up to {LONGEST_KEY} characters, got {value!r}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArguments(f"{what}: text with lone surrogates cannot be stored") from None
    return value


def _backoff(value: object, what: str) -> Any:
    if not isinstance(value, Retry):
        raise InvalidArguments(f"{what}: expected Retry(...), got {value!r}")
    return value.stored


def _fewer(value: Any, what: str) -> Any:
    return Retry(max_retries=value).stored


def _edges(value: Any) -> tuple[Edge, ...]:
    if isinstance(value, NewJob | Identified | UUID | str) or not isinstance(value, Iterable):
        value = (value,)
    try:
        return tuple(Edge(identity(other)) for other in value)
    except InvalidArguments as error:
        raise InvalidArguments(f"depends_on: {error}") from None


_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    "queue": text,
    "priority": _priority,
    "delay": microseconds,
    "run_at": moment,
    "expires": _span,
    "key": _key,
    "unique": _key,
    "unique_for": microseconds,
    "on_duplicate": _on_duplicate,
    "headers": headers_of,
    "tags": texts,
    "label": _key,
}

_RULES: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "retry": ("retry", _backoff),
    "max_retries": ("retry", _fewer),
    "timeout": ("timeout", _span),
    "keep_result": ("keep", _span),
}
