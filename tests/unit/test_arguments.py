"""How calls become objects of named arguments, and back."""

import asyncio
import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Optional
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring import Context, InvalidArguments, TaskError, current
from mainspring.arguments import Arguments, signature_of

if TYPE_CHECKING:
    from decimal import Decimal

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    tags: list[str] = field(default_factory=list)


def arguments(function: Callable[..., Any]) -> Arguments:
    return Arguments("mail.send", "here", function)


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Through the payload and back."""
    bound = arguments(function)
    payload, _ = bound.pack(args, kwargs)
    return bound.call(function, bound.unpack(payload), "the context")


def everything(a: int, /, b: str, c: float = 1.5, *, d: bytes, e: Colour = Colour.RED) -> Any:
    return a, b, c, d, e


def test_a_call_arrives_as_it_was_made() -> None:
    assert call(everything, 1, "x", d=b"y") == (1, "x", 1.5, b"y", Colour.RED)
    assert call(everything, 1, b="x", c=2.0, d=b"", e=Colour.RED) == (1, "x", 2.0, b"", Colour.RED)


@given(st.integers(), st.text(st.characters(codec="utf-8")), st.lists(st.integers()))
def test_any_values_arrive_as_they_were(a: int, b: str, c: list[int]) -> None:
    def function(a: int, b: str, *, c: list[int]) -> Any:
        return a, b, c

    assert call(function, a, b, c=c) == (a, b, c)


def test_the_payload_is_an_object_of_all_named_arguments_with_defaults() -> None:
    payload, _ = arguments(everything).pack((1, "x"), {"d": b"y"})
    assert msgspec.json.decode(payload) == {"a": 1, "b": "x", "c": 1.5, "d": "eQ==", "e": "red"}


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "missing required argument"),
        ((1,), {"d": b""}, "missing required argument 'b'"),
        ((1, "x", 2.0, b""), {}, "extra positional"),
        ((1, "x"), {"d": b"", "f": 1}, "unexpected keyword argument 'f'"),
        ((1, "x"), {"d": b"", "delay": 1}, "options of the job go into .using(delay=...)"),
        ((1, "x"), {"d": b"", "b": "y"}, "given by name and position"),
        (("1", "x"), {"d": b""}, "a: expected `int`, got `str`"),
        ((1, 2), {"d": b""}, "b: expected `str`, got `int`"),
        ((1, "x"), {"d": b"", "e": "blue"}, "e: invalid enum value"),
        ((1, "x", float("nan")), {"d": b""}, "nan cannot be stored"),
        ((1, "\udcff"), {"d": b""}, "lone surrogates"),
        ((1, "x"), {"d": object()}, "an object of type object cannot be stored"),
    ],
)
def test_wrong_arguments_are_refused_naming_task_and_parameter(
    args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArguments, match=r"^mail\.send") as caught:
        arguments(everything).pack(args, kwargs)
    assert words in str(caught.value)


def test_instances_of_other_classes_are_not_let_through_by_their_looks() -> None:
    def takes(point: Point) -> Point:
        return point

    @dataclass
    class Other:
        x: str

    with pytest.raises(InvalidArguments, match=r"point\.x: expected `int`, got `str`"):
        arguments(takes).pack((Other("1"),), {})
    assert call(takes, Point(1, ["a"])) == Point(1, ["a"])


@pytest.mark.parametrize(
    "payload", [b'{"a":1}', b"[]", b"1", b'{"x":"1"}', b'{"x":1,"y":2}', b"{", b"\x00raw", b"\xff"]
)
def test_a_payload_that_does_not_fit_is_refused_when_run(payload: bytes) -> None:
    def function(x: int) -> None: ...

    with pytest.raises(InvalidArguments, match=r"^mail\.send"):
        arguments(function).unpack(payload)


def test_an_object_given_by_name_is_checked_and_filled_up_with_defaults() -> None:
    def function(x: int, y: int = 2) -> Any:
        return x, y

    bound = arguments(function)
    payload, given = bound.pack_object({"x": 1})
    assert payload == b'{"x":1,"y":2}'
    assert bound.call(function, given, None) == (1, 2)
    for wrong in ({"y": 1}, {"x": 1, "z": 1}, {"x": "1"}, [1], "x", b"x", 1, None):
        with pytest.raises(InvalidArguments, match=r"^mail\.send"):
            bound.pack_object(wrong)


def test_no_payload_at_all_is_a_call_without_arguments() -> None:
    def function(x: int = 1) -> int:
        return x

    bound = arguments(function)
    assert bound.pack_object(None)[0] == b'{"x":1}'
    assert bound.call(function, bound.unpack(b"null"), None) == 1


def test_defaults_are_not_shared_between_calls() -> None:
    def function(many: list[int] = [1], point: Point = Point(1)) -> Any:  # noqa: B006, B008
        many.append(2)
        point.tags.append("x")
        return many, point

    for _ in range(2):
        assert call(function) == ([1, 2], Point(1, ["x"]))


def test_a_parameter_with_default_none_may_be_none() -> None:
    def function(x: int = None) -> Any:  # type: ignore[assignment]  # noqa: RUF013
        return x

    assert call(function) is None
    assert call(function, 1) == 1


def test_a_parameter_without_annotation_takes_any_json() -> None:
    def function(x, y=1):  # type: ignore[no-untyped-def]  # as users write
        return x, y

    assert call(function, {"a": [1]}) == ({"a": [1]}, 1)


# --- the context ---------------------------------------------------------------------------------


def in_the_middle(x: int, context: Context, y: int = 2) -> Any:
    return x, context, y


def at_the_end(x: int, *, context: Context | None = None) -> Any:
    return x, context


def called_otherwise(x: int, here: Optional[Context] = None) -> Any:  # noqa: UP045
    return x, here


def at_the_start(context: Context, x: int = 1) -> Any:
    return x, context


def with_the_outer_one(x: int, context: Context = current()) -> Any:  # noqa: B008
    return x, context


def test_a_context_parameter_is_filled_in_wherever_it_stands() -> None:
    assert call(in_the_middle, 1, y=3) == (1, "the context", 3)
    assert call(at_the_end, 1) == (1, "the context")
    assert call(called_otherwise, 1) == (1, "the context")
    assert call(at_the_start, x=2) == (2, "the context")
    assert call(with_the_outer_one, 1) == (1, "the context")


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (in_the_middle, (1,), {"context": None}),
        (in_the_middle, (1, 2), {}),
        (at_the_end, (1,), {"context": current()}),
        (called_otherwise, (1, None), {}),
    ],
)
def test_a_context_cannot_be_given_with_a_job(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArguments, match=r"filled in by the worker|extra positional"):
        arguments(function).pack(args, kwargs)


def test_the_context_must_be_allowed_by_name() -> None:
    def function(context: Context, x: int, /) -> None: ...

    with pytest.raises(TaskError, match="'context' must be allowed by name"):
        arguments(function)


# --- declarations --------------------------------------------------------------------------------


class Service:
    def method(self, x: int) -> None: ...

    @classmethod
    def of_class(cls, x: int) -> None: ...


def stars(*many: int) -> None: ...
def double_stars(**many: int) -> None: ...
def mangled(__x: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (stars, "*many"),
        (double_stars, "**many"),
        (mangled, "two underscores"),
        (Service.method, "use @staticmethod"),
        (vars(Service)["of_class"].__func__, "use @staticmethod"),
    ],
)
def test_signatures_no_payload_can_carry_are_refused(
    function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(TaskError, match=r"^here: ") as caught:
        signature_of(function, "here")
    assert words in str(caught.value)


def hidden(x: "Decimal") -> None: ...
def unknown(x: int, y: "NoSuchThing") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def unstorable(x: int, y: Callable[[], int]) -> None: ...
def ambiguous(x: str | datetime) -> None: ...
def bad_default(x: int = "1") -> None: ...  # type: ignore[assignment]
def naive_default(x: datetime = datetime(2026, 1, 1)) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameter"),
    [
        (hidden, "x"),
        (unknown, "y"),
        (unstorable, "y"),
        (ambiguous, "x"),
        (bad_default, "x"),
        (naive_default, "x"),
    ],
)
def test_annotations_that_cannot_work_are_refused_naming_the_parameter(
    function: Callable[..., Any], parameter: str
) -> None:
    with pytest.raises(TaskError, match=f"^here: parameter '{parameter}': "):
        arguments(function)


def test_a_local_class_in_a_text_annotation_is_an_error_and_never_any() -> None:
    class Local(msgspec.Struct):
        x: int

    def function(local: "Local") -> None: ...

    with pytest.raises(TaskError, match=r"parameter 'local'.*importable at run time"):
        arguments(function)


def test_wrappers_partials_and_objects_are_seen_through() -> None:
    def plain(x: int, y: "UUID | None" = None) -> Any:
        return x, y

    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs)

    class Callable_:
        def __call__(self, x: "int", y: int = 2) -> Any:
            return x, y

    assert call(wrapper, 1) == (1, None)
    assert call(functools.partial(plain, 1)) == (1, None)
    assert call(Callable_(), 1) == (1, 2)
    assert call(Service().method, 1) is None


def test_a_coroutine_function_gives_its_coroutine() -> None:
    async def function(x: int) -> int:
        return x

    assert asyncio.run(call(function, 1)) == 1


def test_constraints_of_parameters_bind() -> None:
    def function(x: Annotated[int, msgspec.Meta(ge=1)] = 1) -> None: ...

    with pytest.raises(InvalidArguments, match="x: expected `int` >= 1"):
        arguments(function).pack((0,), {})
