"""What the declaration of a task promises, and what mistakes in it say."""

import asyncio
import functools
import inspect
import sys
import types
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import msgspec
import pytest

from mainspring import (
    AsyncTask,
    BatchTask,
    Context,
    InvalidArguments,
    NotBound,
    Retry,
    SyncTask,
    TaskError,
    Tasks,
    TransactionError,
    current,
)
from mainspring.durations import DAY, HOUR, MINUTE, SECOND
from mainspring.job import Edge, Policy

HERE = f"{__file__}:"


@dataclass
class Doc:
    id: int


def payload(job: Any) -> Any:
    return msgspec.json.decode(job.payload)


# --- declaring -----------------------------------------------------------------------------------


def test_a_declared_function_is_still_that_function() -> None:
    tasks = Tasks()

    @tasks.task
    def add(a: int, b: int = 1) -> int:
        """Adds."""
        return a + b

    @tasks.task(queue="other")
    async def later(a: int) -> int:
        return a

    assert add(1) == 2
    assert asyncio.run(later(3)) == 3
    assert isinstance(add, SyncTask)
    assert isinstance(later, AsyncTask)
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert str(inspect.signature(add)) == "(a: int, b: int = 1) -> int"
    assert repr(add) == "<task add>"


def test_names_are_prefix_and_function_and_never_the_module() -> None:
    tasks = Tasks("mail")

    @tasks.task
    def send() -> None: ...

    @tasks.task(name="other.name", aliases=["mail.deliver", "old"])
    def renamed() -> None: ...

    tasks.handler("raw", lambda payload: None)
    assert send.name == "mail.send"
    assert renamed.name == "other.name"
    assert set(tasks) == {"mail.send", "other.name", "mail.deliver", "old", "mail.raw"}
    assert len(tasks) == 5
    assert tasks["old"] is tasks.get("mail.deliver") is renamed
    assert tasks.get("no such") is None
    assert renamed.job().task == "other.name"


def test_a_task_runs_where_its_colour_says() -> None:
    tasks = Tasks()

    @tasks.task(runs_in="thread")
    def plain() -> None: ...

    @tasks.task(runs_in="async")
    async def coloured() -> None: ...

    @tasks.task(runs_in="thread")
    async def run_to_its_end() -> int:
        return 1

    @tasks.task(runs_in="process", memory="64MiB")
    def apart() -> None: ...

    @tasks.task(runs_in="process")
    async def awaited_apart() -> int:
        return 1

    tasks.handler("image", "no_such_module:execute", runs_in="process", memory=20_000_000)

    @functools.wraps(coloured.function)
    def wrapper() -> Coroutine[Any, Any, None]:
        return coloured()

    assert plain.kind == "thread"
    assert coloured.kind == "async"
    assert isinstance(run_to_its_end, AsyncTask)
    assert run_to_its_end.kind == "thread"
    assert (apart.kind, apart.memory) == ("process", 64 * 1024**2)
    assert isinstance(awaited_apart, AsyncTask)
    assert (awaited_apart.kind, awaited_apart.memory) == ("process", None)
    assert (tasks["image"].kind, tasks["image"].memory) == ("process", 20_000_000)
    assert tasks.task(name="a")(wrapper).kind == "thread"
    assert tasks.task(name="b", runs_in="async")(wrapper).kind == "async"


def test_static_methods_can_be_tasks_in_either_order() -> None:
    tasks = Tasks()

    class Service:
        @staticmethod
        @tasks.task
        def inner(x: int) -> int:
            return x

        @tasks.task
        @staticmethod
        def outer(x: int) -> int:
            return x

    for task in (Service.inner, Service().inner, Service.outer, Service().outer):
        assert task(1) == 1
        assert payload(task.job(2)) == {"x": 2}


def declared(**policies: Any) -> Callable[[Any], Any]:
    return Tasks("mail").task(**policies)


def send(to: str, subject: str, *, tenant: str = "main") -> None: ...


async def asend() -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def agenerator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("policies", "function", "words"),
    [
        ({"key_by": "tenat"}, send, "no parameter 'tenat'; there are to, subject, tenant"),
        ({"unique_by": ["to", "body"]}, send, "no parameter 'body'; there are to, subject, tenant"),
        ({"unique_by": "to"}, send, "unique_by: expected a list of parameters"),
        ({"tiemout": 3}, send, "unknown policy 'tiemout'; expected one of name, aliases"),
        ({"timeout": "5 minutes"}, send, "timeout: expected a duration"),
        ({"timeout": 0}, send, "timeout: expected more than 0"),
        ({"priority": 101}, send, "priority: expected -100 to 100, got 101"),
        ({"priority": "high"}, send, "priority: expected -100 to 100, got 'high'"),
        ({"queue": ""}, send, "queue: expected 1 to 255 printable characters"),
        ({"queue": "a\nb"}, send, "queue: expected 1 to 255 printable characters"),
        ({"queue": "a" * 300}, send, "got 300 of them"),
        ({"name": "a\0"}, send, "name: expected"),
        ({"aliases": "old"}, send, "aliases: expected a list of texts"),
        ({"tags": [1]}, send, "tags: expected"),
        ({"retry": 3}, send, "retry: expected Retry(...), got 3"),
        ({"max_retries": -1}, send, "max_retries: expected 0 to 1,000,000"),
        ({"retry": Retry(), "max_retries": 1}, send, "retry or max_retries, got both"),
        ({"on_duplicate": "ignore"}, send, "on_duplicate: expected"),
        ({"runs_in": "async"}, send, 'make it an async def, or say "thread" or "process"'),
        ({"runs_in": "procces"}, send, 'runs_in: expected "thread", "async" or "process", got'),
        ({"memory": "64MB"}, send, 'memory: only a process can be held to it; say runs_in="pro'),
        ({"runs_in": "thread", "memory": "64MB"}, send, "memory: only a process"),
        ({"runs_in": "process", "memory": "64 m"}, send, 'expected bytes, or text like "512MB"'),
        ({"runs_in": "process", "memory": 1e9}, send, "memory: expected bytes, or text like"),
        ({"runs_in": "process", "memory": True}, send, "memory: expected bytes, or text like"),
        ({"runs_in": "process", "memory": "15MB"}, send, "memory: expected 16 MB to 1 TB, got"),
        ({"runs_in": "process", "memory": "1.1TB"}, send, "memory: expected 16 MB to 1 TB, got"),
        ({"version": 0}, send, "version: expected 1 to 1,000,000, got 0"),
        ({"version": 1_000_001}, send, "version: expected 1 to 1,000,000, got 1000001"),
        ({"version": "2"}, send, "version: expected 1 to 1,000,000, got '2'"),
        ({"version": True}, send, "version: expected 1 to 1,000,000, got True"),
        ({}, lambda x: x, "has no name of its own"),
        ({}, functools.partial(send, "a"), "has no name of its own"),
        ({}, Doc, "expected a function"),
        ({}, 3, "expected a function"),
        ({}, generator, "a generator cannot be a task"),
        ({}, agenerator, "a generator cannot be a task"),
    ],
)
def test_mistakes_in_a_declaration_are_errors_that_say_what_is_expected(
    policies: dict[str, Any], function: Any, words: str
) -> None:
    with pytest.raises(TaskError) as caught:
        declared(**policies)(function)
    assert words in str(caught.value)


def test_errors_of_declarations_name_file_and_line() -> None:
    line = send.__code__.co_firstlineno
    with pytest.raises(TaskError, match=f"^{HERE}{line}: task 'mail.send': key_by: "):
        declared(key_by="x")(send)


def test_a_name_can_be_taken_once_aliases_included() -> None:
    tasks = Tasks()
    first = tasks.task(aliases=["old"])(send)
    for policies in ({}, {"name": "x", "aliases": ["send"]}, {"name": "old"}):
        with pytest.raises(TaskError, match=r"the name '(send|old)' is taken by") as caught:
            tasks.task(**policies)(generatorless)
        assert str(caught.value).count(HERE) == 2
    assert tasks["send"] is first
    assert set(tasks) == {"send", "old"}


def generatorless() -> None: ...


generatorless.__name__ = "send"


def test_a_task_is_not_declared_twice() -> None:
    tasks = Tasks()
    with pytest.raises(TaskError, match="is a task already"):
        tasks.task(tasks.task(send))


def test_a_file_that_runs_and_is_imported_too_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = __file__
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.warns(RuntimeWarning, match="declared twice"):
        Tasks().task(send)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("delay", ".enqueue(...)"),
        ("apply_async", ".using(...).enqueue(...)"),
        ("send", ".enqueue(...)"),
        ("kiq", ".aenqueue(...)"),
        ("s", ".job(...)"),
    ],
)
def test_names_of_other_libraries_are_answered_with_ours(foreign: str, ours: str) -> None:
    task = Tasks().task(send)
    with pytest.raises(AttributeError) as caught:
        getattr(task, foreign)
    assert str(caught.value) == f"SyncTask has no attribute '{foreign}'; here it is {ours}"
    assert not hasattr(task, "no_such_thing")


# --- jobs ----------------------------------------------------------------------------------------


def test_a_job_has_its_own_id_and_the_policies_of_its_task() -> None:
    retry = Retry(max_retries=5, backoff=[1, "1m"])
    task = Tasks("mail").task(
        queue="mail",
        priority=7,
        retry=retry,
        timeout="2m",
        expires=timedelta(hours=1),
        keep_result="2d",
        unique_for=60,
        on_duplicate="replace",
        tags=["a", "b"],
    )(send)
    job = task.job("x@example.org", "hi")
    assert job.id != task.job("x@example.org", "hi").id
    assert (job.task, job.queue, job.priority) == ("mail.send", "mail", 7)
    assert (job.expires, job.unique_for, job.on_duplicate) == (HOUR, MINUTE, "replace")
    assert job.policy == Policy(retry.stored, 2 * MINUTE, 2 * DAY)
    assert job.tags == ("a", "b")
    assert (task.retry, task.timeout) == (retry, 2 * MINUTE)
    assert payload(job) == {"to": "x@example.org", "subject": "hi", "tenant": "main"}


def test_max_retries_is_short_for_a_retry() -> None:
    task = Tasks().task(max_retries=7)(send)
    assert task.retry == Retry(max_retries=7)
    assert task.job("a", "b").policy.retry.max_retries == 7


def test_options_hold_for_the_jobs_of_a_copy_only() -> None:
    tasks = Tasks()
    task = tasks.task(queue="mail")(send)
    when = datetime(2030, 1, 1, tzinfo=UTC)
    id, parent = uuid4(), task.job("a", "b")
    other = task.using(
        queue="slow",
        priority=-1,
        run_at=when,
        expires="1d",
        key="t1",
        unique="u1",
        unique_for="1h",
        on_duplicate="error",
        max_retries=0,
        timeout=1,
        headers={"trace": ""},
        tags=["x"],
        label="Send\u2003it".replace("\u2003", " "),
        id=id,
        depends_on=[parent, id],
    )
    job = other.job("a", "b")
    assert job.uuid == id
    assert (job.queue, job.priority, job.key, job.unique) == ("slow", -1, "t1", "u1")
    assert (job.run_at, job.expires) == (int(when.timestamp()) * SECOND, DAY)
    assert (job.unique_for, job.on_duplicate) == (HOUR, "error")
    assert (job.policy.retry.max_retries, job.policy.timeout) == (0, SECOND)
    assert (job.headers, job.tags, job.label) == ({"trace": ""}, ("x",), "Send it")
    assert job.edges == (Edge(parent.id), Edge(id.bytes))
    assert task.job("a", "b").queue == "mail"
    assert list(tasks) == ["send"]
    assert other("a", "b") is None


def test_later_options_win_and_a_delay_and_a_moment_replace_each_other() -> None:
    task = Tasks().task(send)
    when = datetime(2030, 1, 1, tzinfo=UTC)
    both = task.using(delay="1h", priority=1).using(priority=2)
    assert (both.job("a", "b").delay, both.job("a", "b").priority) == (HOUR, 2)
    moved = both.using(run_at=when).job("a", "b")
    assert (moved.delay, moved.run_at) == (0, int(when.timestamp()) * SECOND)
    again = both.using(run_at=when).using(delay=1).job("a", "b")
    assert (again.delay, again.run_at) == (SECOND, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dealy": 1}, "unknown option 'dealy'; expected one of queue, priority"),
        ({"delay": 1, "run_at": datetime(2030, 1, 1, tzinfo=UTC)}, "delay or run_at, got both"),
        ({"run_at": datetime(2030, 1, 1)}, "run_at: expected an aware datetime"),
        ({"delay": -1}, "delay: expected 0 seconds to 180 years"),
        ({"key": ""}, "key: expected 1 to 1000"),
        ({"headers": {"a": 1}}, "headers['a']: expected text"),
        ({"headers": {"a": "\udcff"}}, "lone surrogates"),
        ({"headers": ["a"]}, "headers: expected a mapping"),
        ({"tags": "a"}, "tags: expected a list of texts"),
        ({"id": "x"}, "id: expected a UUID, got 'x'"),
        ({"depends_on": ["x"]}, "depends_on: expected the id of a job (a UUID), got 'x'"),
        ({"depends_on": 3}, "depends_on: expected a job or its id (a UUID), got 3"),
    ],
)
def test_wrong_options_are_refused_naming_the_option(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        Tasks().task(send).using(**options)
    assert words in str(caught.value)


def test_a_key_is_the_text_of_its_parameter() -> None:
    tasks = Tasks()

    @tasks.task(key_by="of")
    def work(of: str | int | None, n: int = 1) -> None: ...

    @tasks.task(key_by="of")
    def by_id(of: UUID) -> None: ...

    id = uuid4()
    assert work.job("t1").key == "t1"
    assert work.job(7).key == "7"
    assert work.job(None).key is None
    assert work.using(key="k").job("t1").key == "k"
    assert by_id.job(id).key == str(id)
    with pytest.raises(InvalidArguments, match="a key has 1 to 1000 characters"):
        work.job("")


def test_equal_arguments_make_equal_unique_keys_however_they_are_given() -> None:
    tasks = Tasks("mail")
    some = tasks.task(name="some", unique_by=("to", "subject"))(send)
    every = tasks.task(name="every", unique_by="all")(send)
    assert some.job("a", "b", tenant="x").unique == some.job(subject="b", to="a").unique
    assert some.job("a", "b").unique == 'some:["a","b"]'
    assert some.job("a", "c").unique != some.job("a", "b").unique
    assert every.job("a", "b").unique == every.job("a", "b", tenant="main").unique
    assert every.job("a", "b").unique != every.job("a", "b", tenant="x").unique
    assert every.job("a", "b").unique != some.job("a", "b").unique
    assert some.using(unique="mine").job("a", "b").unique == "mine"
    long = some.job("a" * 10_000, "b").unique
    assert long is not None
    assert len(long) < 100
    assert long != some.job("a" * 10_001, "b").unique


def test_sets_and_dicts_make_one_unique_key_in_any_order() -> None:
    tasks = Tasks()

    @tasks.task(unique_by="all")
    def work(a: dict[str, int], b: set[str]) -> None: ...

    first = work.job({"x": 1, "y": 2}, {"p", "q", "r"})
    second = work.job({"y": 2, "x": 1}, {"r", "q", "p"})
    assert first.unique == second.unique


def test_a_job_value_cannot_promise_a_transaction() -> None:
    with pytest.raises(TransactionError, match="stores nothing"):
        Tasks().task(send).using(tx=object()).job("a", "b")


def test_an_enqueue_without_an_app_says_what_to_do() -> None:
    with pytest.raises(NotBound, match=r"make one by Mainspring\(url, tasks\)"):
        Tasks().task(send).enqueue("a", "b")


# --- at run time ---------------------------------------------------------------------------------


def test_a_stored_call_is_made_and_its_result_comes_back_typed() -> None:
    tasks = Tasks()

    @tasks.task
    def grow(doc: Doc, by: int = 1) -> Doc | None:
        return Doc(doc.id + by) if by else None

    @tasks.task
    async def agrow(doc: Doc) -> Doc:
        return doc

    value = grow.call(grow.job(Doc(1), by=2).payload, current())
    assert value == Doc(3)
    stored = grow.encode_result(value)
    assert stored == b'{"id":3}'
    assert grow.decode_result(stored) == Doc(3)
    assert grow.encode_result(None) is None
    assert asyncio.run(agrow.call(agrow.job(Doc(1)).payload, current())) == Doc(1)


def test_bytes_are_a_result_like_any_other() -> None:
    tasks = Tasks()

    @tasks.task
    def render(doc: int) -> bytes | str:
        return b"\x00\xff"

    stored = render.encode_result(render(1))
    assert stored == b"\x00\x00\xff"
    assert render.decode_result(stored) == b"\x00\xff"


def test_a_result_that_cannot_be_stored_is_an_error_that_names_the_task() -> None:
    task = Tasks().task(send)
    for value in (object(), float("nan"), "\udcff"):
        with pytest.raises(InvalidArguments, match=r"^result of send: "):
            task.encode_result(value)


def test_a_payload_that_does_not_fit_is_refused_before_the_function_is_called() -> None:
    called = []

    def work(x: int) -> None:
        called.append(x)

    task = Tasks().task(work)
    with pytest.raises(InvalidArguments, match=r"^work: x: expected `int`, got `str`"):
        task.call(b'{"x":"1"}', current())
    assert called == []


def test_a_stored_payload_that_does_not_fit_is_not_worth_another_attempt() -> None:
    tasks = Tasks()

    @tasks.task(retry=Retry(on=(InvalidArguments,)))
    def work(x: int) -> None:
        work.enqueue("one")  # type: ignore[arg-type]

    @tasks.batch()
    def index(items: list[int]) -> None: ...

    tasks.handler("typed", typed)
    stored: list[Callable[[], object]] = [
        lambda: work.call(b'{"x":"1"}', current()),
        lambda: tasks["typed"].call(b"3", current()),
        lambda: index.decode(b'"x"', 1),
        lambda: index.call(b'"x"', current()),
    ]
    for call in stored:
        with pytest.raises(InvalidArguments) as caught:
            call()
        assert not work.retry.wants(caught.value)
    made: list[Callable[[], object]] = [
        lambda: work.call(b'{"x":1}', current()),
        lambda: index.job("x"),  # type: ignore[arg-type]
    ]
    for call in made:
        with pytest.raises(InvalidArguments) as caught:
            call()
        assert work.retry.wants(caught.value)


def test_resolving_finds_mistakes_in_annotations_before_the_first_job() -> None:
    def work(x: "NoSuchThing") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def answer() -> "NoSuchThing": ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TaskError, match="parameter 'x'"):
        Tasks().task(work).resolve()
    with pytest.raises(TaskError, match="return type"):
        Tasks().task(answer).resolve()
    Tasks().task(send).resolve()


# --- batches -------------------------------------------------------------------------------------


def test_a_batch_takes_one_item_per_job_and_gives_one_outcome_per_item() -> None:
    tasks = Tasks()

    @tasks.batch(size=50, wait="1s", queue="index")
    def index(items: list[Doc]) -> list[int | Exception]:
        return [item.id if item.id else ValueError("zero") for item in items]

    assert isinstance(index, BatchTask)
    assert (index.kind, index.size, index.wait) == ("batch", 50, SECOND)
    jobs = [index.job(Doc(1)), index.job(Doc(0))]
    assert jobs[0].payload == b'{"id":1}'
    assert jobs[0].queue == "index"
    items = [index.decode(job.payload, 1) for job in jobs]
    assert items == [Doc(1), Doc(0)]
    one, error = index.call_many(items)
    assert one == 1
    assert isinstance(error, ValueError)
    assert index.decode_result(b"1") == 1
    assert index([Doc(5)]) == [5]
    with pytest.raises(InvalidArguments, match="id: expected `int`"):
        index.job({"id": "x"})  # type: ignore[arg-type]
    with pytest.raises(InvalidArguments, match="id: expected `int`"):
        index.decode(b'{"id":"x"}', 1)


def test_a_batch_that_returns_nothing_has_done_all() -> None:
    tasks = Tasks()

    @tasks.batch(size=3)
    def index(items: list[bytes]) -> None: ...

    assert index.call_many([b"a", b"b"]) == [None, None]
    assert index.decode(index.job(b"\xff").payload, 1) == b"\xff"


@pytest.mark.parametrize("answer", [[1], [1, 2, 3], "ab", 2, iter([1, 2])])
def test_a_batch_that_returns_too_few_too_many_or_no_outcomes_is_told_so(answer: Any) -> None:
    tasks = Tasks()

    @tasks.batch()
    def index(items: list[int]) -> Any:
        return answer

    with pytest.raises(TaskError, match="expected 2 outcomes or None, got"):
        index.call_many([1, 2])


def takes_one(item: int) -> None: ...


def takes_text(items: "tuple[str] | None") -> None: ...


def test_a_batch_takes_whatever_a_list_can_be_given_for() -> None:
    def later(items: Any) -> None: ...

    later.__annotations__["items"] = "list[FurtherDown]"

    def sequence(items: Sequence[int]) -> None: ...

    def maybe(items: Annotated[list[int] | None, "note"]) -> None: ...

    def plain(items: list) -> None: ...  # type: ignore[type-arg]

    def anything(items: Any) -> None: ...

    for function in (later, sequence, maybe, plain, anything, lambda items: None):
        Tasks().batch(name="index")(function)


def test_a_batch_whose_annotation_is_understood_late_is_refused_late() -> None:
    def index(items: Any) -> None: ...

    index.__annotations__["items"] = "FurtherDown"
    task: Any = Tasks().batch()(index)
    with pytest.raises(TaskError, match="cannot evaluate the annotation 'FurtherDown'"):
        task.resolve()
    globals()["FurtherDown"] = int
    try:
        with pytest.raises(TaskError, match="a batch function takes a list"):
            task.resolve()
    finally:
        del globals()["FurtherDown"]


@pytest.mark.parametrize(
    ("policies", "function", "words"),
    [
        ({"size": 0}, lambda items: None, "size: expected 1 to 10,000, got 0"),
        ({"wait": "soon"}, lambda items: None, "wait: expected a duration"),
        ({}, lambda a, b: None, "takes one list"),
        ({}, asend, "must be a plain def"),
        ({}, takes_one, "parameter 'item': a batch function takes a list, such as list[int], got"),
        ({}, takes_text, "a batch function takes a list"),
        ({"key_by": "items"}, lambda items: None, "the payload is taken whole"),
        ({"unique_by": ["items"]}, lambda items: None, "the payload is taken whole"),
    ],
)
def test_mistakes_in_batches_are_errors(policies: Any, function: Any, words: str) -> None:
    with pytest.raises(TaskError) as caught:
        Tasks().batch(name="index", **policies)(function)
    assert words in str(caught.value)


# --- handlers ------------------------------------------------------------------------------------


class Module:
    @staticmethod
    def execute(payload: Any, context: Context) -> Any:
        return payload, context


class Emailer:
    def bound(self, payload: dict[str, Any], context: Context) -> Any:
        return payload, context

    async def execute(self, payload: Any) -> Any:
        return payload


def typed(payload: Doc) -> Doc:
    return payload


def optional(payload: Any, verbose: bool = True) -> Any:
    return payload, verbose


def run(tasks: Tasks, name: str, value: Any) -> Any:
    task = tasks[name]
    return task.call(task.job(value).payload, current())


def test_handlers_take_whole_payloads_with_or_without_the_context() -> None:
    tasks = Tasks(
        handlers={
            "one": lambda payload: payload,
            "two": lambda payload, context: (payload, context),
            "module": Module(),
            "bound": Emailer().bound,
            "object": Emailer(),
            "optional": optional,
        }
    )

    @tasks.handler("decorated", queue="mail")
    def decorated(payload: Any) -> Any:
        return payload

    assert decorated(1) == 1
    assert run(tasks, "one", [1, "a"]) == [1, "a"]
    assert run(tasks, "one", b"\xff") == b"\xff"
    assert run(tasks, "one", None) is None
    assert run(tasks, "two", 1) == (1, current())
    assert run(tasks, "module", 1) == (1, current())
    assert run(tasks, "bound", {"a": 1}) == ({"a": 1}, current())
    assert run(tasks, "optional", 1) == (1, True)
    assert run(tasks, "decorated", 1) == 1
    assert asyncio.run(run(tasks, "object", 1)) == 1
    assert tasks["object"].kind == "async"
    assert tasks["one"].kind == "thread"
    assert tasks["decorated"].job(1).queue == "mail"


def test_an_annotated_payload_is_checked() -> None:
    tasks = Tasks(handlers={"typed": typed, "dict": Emailer().bound})
    assert run(tasks, "typed", {"id": 1}) == Doc(1)
    assert tasks["typed"].decode_result(b'{"id":2}') == Doc(2)
    with pytest.raises(InvalidArguments, match="id: expected `int`"):
        tasks["typed"].job({"id": "x"})
    with pytest.raises(InvalidArguments, match="expected `object`"):
        tasks["dict"].job([1])


def test_a_handler_given_by_its_place_is_imported_when_it_first_runs() -> None:
    tasks = Tasks()
    tasks.handler("loads", "msgspec.json:decode")
    tasks.handler("module", f"{__name__}:Module")
    tasks.handler("missing", "no.such.module:execute")
    assert tasks["missing"].job({"any": "thing"}).task == "missing"
    with pytest.raises(Exception, match=r"cannot import 'no\.such\.module:execute'"):
        tasks["missing"].call(b"1", current())
    with pytest.raises(TaskError, match="is a class; give an object"):
        tasks["module"].call(b"1", current())


def test_late_handlers_run_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("late_handlers")
    module.execute = typed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "late_handlers", module)
    tasks = Tasks(handlers={"late": "late_handlers:execute"})
    assert run(tasks, "late", {"id": 3}) == Doc(3)


@pytest.mark.parametrize(
    "handler",
    [lambda: 1, lambda a, b, c: 1, lambda payload, *, extra: 1, Emailer, 3, "no colon", ":x", "x:"],
)
def test_what_cannot_take_a_payload_is_no_handler(handler: Any) -> None:
    with pytest.raises(TaskError, match=r"^handler 'mail\.x': "):
        Tasks("mail", handlers={"x": handler})


# --- registries ----------------------------------------------------------------------------------


def test_a_registry_includes_others_and_what_they_declare_later() -> None:
    root, mail, deep = Tasks(), Tasks("mail"), Tasks("deep")
    mail.include(deep)
    root.include(mail)
    root.include(mail)
    task = deep.task(aliases=["old"])(send)
    assert root["deep.send"] is root["old"] is mail["deep.send"] is task
    mail.handler("x", lambda payload: None)
    assert set(root) == {"deep.send", "old", "mail.x"}
    assert "mail.x" not in deep


def test_a_name_cannot_be_taken_twice_over_included_registries() -> None:
    root, one, two = Tasks(), Tasks(), Tasks()
    one.task(send)
    two.task(send)
    root.include(one)
    with pytest.raises(TaskError, match="the name 'send' is taken by"):
        root.include(two)
    assert root["send"] is one["send"]
    root.task(name="later")(send)
    with pytest.raises(TaskError, match="the name 'later' is taken by"):
        one.task(name="later")(send)
    assert "later" not in one


def test_registries_cannot_include_each_other_in_a_circle() -> None:
    one, two = Tasks(), Tasks()
    one.include(two)
    for inner, outer in ((one, two), (one, one)):
        with pytest.raises(TaskError, match="cannot include itself"):
            outer.include(inner)


def test_middleware_is_inherited_from_the_outside_in() -> None:
    root, mail, other = Tasks(), Tasks("mail"), Tasks("other")
    root.include(mail)
    root.include(other)

    def named(name: str) -> Callable[[Context], Any]:
        @contextmanager
        def middleware(context: Context) -> Iterator[None]:
            yield

        middleware.__name__ = name
        return middleware

    inner = mail.middleware(named("inner"))
    outer = root.middleware(named("outer"))
    innermost = mail.middleware(named("innermost"))
    assert mail.task(send).middlewares == (outer, inner, innermost)
    assert other.task(send).middlewares == (outer,)
    assert root.middlewares == (outer,)
