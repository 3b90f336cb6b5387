"""What values go in and out, and what is refused, always in words."""

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypedDict
from uuid import UUID, uuid4

import annotated_types
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring import InvalidArguments, TaskError
from mainspring.codec import RAW, Shape, canonical, decode, decode_headers, encode

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    at: datetime | None = None


class Row(TypedDict):
    size: int


class Node(msgspec.Struct):
    children: "list[Node]" = []


class User(pydantic.BaseModel):
    name: str
    born: datetime | None = None
    age: Annotated[int, pydantic.Field(ge=0)] = 0


JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_json_value_comes_back_as_it_was(value: Any) -> None:
    assert decode(encode(value, "x")) == value


@given(st.binary())
def test_bytes_come_back_as_they_were_and_are_never_taken_for_json(value: bytes) -> None:
    data = encode(value, "x")
    assert data == RAW + value
    assert decode(data) == value
    assert decode(encode(bytearray(value), "x")) == value


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, 1),
        (int, 10**30),
        (float, 1.5),
        (str | None, None),
        (bytes, b"\x00\xff"),
        (list[bytes], [b"a"]),
        (datetime, NOON),
        (date, NOON.date()),
        (timedelta, timedelta(days=1, microseconds=1)),
        (UUID, uuid4()),
        (Decimal, Decimal("1.10")),
        (Colour, Colour.RED),
        (Point, Point(1, NOON)),
        (Row, {"size": 1}),
        (Node, Node([Node()])),
        (User, User(name="a", born=NOON)),
        (list[User], [User(name="a"), User(name="b", age=3)]),
        (dict[str, User], {"a": User(name="a")}),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (Sequence[int], [1, 2]),
        (dict[int, str], {1: "a"}),
        (dict[str, object], {"a": [1, None]}),
        (Any, {"a": 1}),
        (bytes | None, b"a"),
    ],
)
def test_typed_values_come_back_as_they_were(hint: Any, value: object) -> None:
    assert Shape(hint, "x").decode(encode(value, "x"), "x") == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan"),
        ([{"a": float("inf")}], "inf"),
        (Point(float("nan")), "nan"),  # type: ignore[arg-type]
        (msgspec.structs.replace(Node(), children=[float("-inf")]), "-inf"),
        ({"a": "\ud800"}, "lone surrogates"),
        ({(1, 2): 3}, "an object of type tuple cannot be stored"),
        (object(), "an object of type object cannot be stored"),
        (lambda: None, "an object of type function cannot be stored"),
        pytest.param(10**5000, "integer", id="more digits than Python prints"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words(value: object, words: str) -> None:
    with pytest.raises(InvalidArguments, match=r"^mail: ") as caught:
        encode(value, "mail")
    assert words in str(caught.value)


def test_what_is_nested_without_end_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(InvalidArguments, match="nested too deeply"):
            encode(value, "mail")
    with pytest.raises(InvalidArguments, match="mail: "):
        Shape(Any, "x").decode(b"[" * 100_000, "mail")


def test_an_honest_null_is_not_taken_for_a_hidden_nan() -> None:
    value = {"a": None, "b": [1.5, None], "c": Point(1), "d": User(name="x"), "e": (Decimal(1),)}
    assert b"null" in encode(value, "x")


@pytest.mark.parametrize(
    ("hint", "data", "words"),
    [
        (int, b'"1"', "expected `int`, got `str`"),
        (dict[str, list[int]], b'{"a":["x"]}', "[...][0]: expected `int`, got `str`"),
        (User, b'{"name":"a","age":-1}', "age: Input should be greater than or equal to 0"),
        (Colour, b'"blue"', "invalid enum value"),
        (int, b"", "truncated"),
        (int, b"\xff", "malformed"),
        (str, b'"\xff"', "utf-8"),
        (float, b"1e400", "out of range"),
        (int, b"\x00abc", "expected JSON, got 3 raw bytes"),
        (list[bytes], b"\x00abc", "expected JSON, got 3 raw bytes"),
    ],
)
def test_stored_data_that_does_not_fit_is_refused_with_its_place(
    hint: Any, data: bytes, words: str
) -> None:
    with pytest.raises(InvalidArguments, match=r"^mail: ") as caught:
        Shape(hint, "x").decode(data, "mail")
    assert words in str(caught.value)


NAIVE = datetime(2026, 1, 2)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (datetime, NAIVE),
        (datetime | None, NAIVE),
        (list[datetime], [NAIVE]),
        (dict[str, datetime], {"a": NAIVE}),
        (Point, Point(1, NAIVE)),
        (list[Point], [Point(1, NOON), Point(1, NAIVE)]),
    ],
)
def test_naive_datetimes_are_refused_however_deep(hint: Any, value: object) -> None:
    with pytest.raises(InvalidArguments, match=r"aware|timezone"):
        Shape(hint, "x").decode(encode(value, "x"), "mail")


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[int, msgspec.Meta(ge=1, le=5)],
        Annotated[int, annotated_types.Interval(ge=1, le=5)],
        Annotated[int, annotated_types.Ge(1), annotated_types.Le(5)],
        Annotated[int, pydantic.Field(ge=1, le=5)],
    ],
)
def test_constraints_of_all_the_usual_kinds_bind(hint: Any) -> None:
    for outer, wrap in ((hint, "{}"), (list[hint], "[{}]"), (dict[str, hint | None], '{{"a":{}}}')):
        shape = Shape(outer, "x")
        shape.decode(wrap.format(5).encode(), "x")
        for number in (0, 6):
            with pytest.raises(InvalidArguments, match="expected `int`"):
                shape.decode(wrap.format(number).encode(), "x")


def test_lengths_and_patterns_bind_too() -> None:
    shape = Shape(Annotated[str, pydantic.Field(max_length=3, pattern="^a")], "x")
    assert shape.decode(b'"abc"', "x") == "abc"
    for bad in (b'"abcd"', b'"b"'):
        with pytest.raises(InvalidArguments):
            shape.decode(bad, "x")


class Foreign:
    pass


@pytest.mark.parametrize(
    "hint",
    [
        Foreign,
        list[Foreign],
        Iterable[int],
        Callable[[], int],
        str | datetime,
        str | bytes,
        Node | Point,
        type[int],
    ],
)
def test_types_that_json_cannot_tell_or_hold_are_refused_when_declared(hint: Any) -> None:
    with pytest.raises(TaskError, match=r"^here: "):
        Shape(hint, "here")


def test_equal_values_have_one_canonical_text() -> None:
    assert canonical({"b": 1, "a": {3, 1, 2}}) == canonical({"a": {2, 3, 1}, "b": 1})


def test_headers_come_as_a_map_or_not_at_all() -> None:
    assert decode_headers(None) == {}
    assert decode_headers(msgspec.msgpack.encode({"a": "b"})) == {"a": "b"}
