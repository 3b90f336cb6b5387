"""No value that anybody can send is a mistake of the server's: whatever does not fit is refused."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import pytest
from msgspec import inspect, json, msgpack
from starlette.routing import Route

from mainspring import Mainspring, Tasks
from mainspring.server.application import routes_over
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import Operations
from mainspring.verbs import VERBS
from tests.server.conftest import Http, Running

TEXTS = [
    *("1000000000000000000", "-1", "-0", "NaN", "inf", "-inf", "1e400", "0x10", "1_0", "\u0661"),
    *("", " ", "\0", "a\0b", "\u202eabc", "\ufeff", "%", "'; --", "x" * 7000, "9" * 5000),
]
"""For any parameter of a query."""

VALUES = [
    *(b"1000000000000000000", b"-1", b"1e18", b"-1e18", b"1e308", b"0.5", b"9" * 400, b"null"),
    *(b"NaN", b"Infinity", b"true", b'""', b'"1"', b"[]", b"{}", b'"\\u0000"', b'"\\u202e"'),
    *(b'"' + b"x" * 10_000 + b'"', b'["\\u0000"]', b'{"\\u0000":"\\u0000"}', b"[[[[]]]]"),
    *(b'"1e999s"', b'"-1s"', b'"9999-12-31T23:59:59Z"', b'"0001-01-01T00:00:00+14:00"'),
]
"""For any member of a body."""

ARGUMENTS: list[Any] = [
    *(10**18, 2**64 - 1, -1, -(2**63), math.nan, math.inf, 0.5, None, True, "", "\0", "x" * 10_000),
    *(b"", b"\0" * 16, [], [[]], [-1], [None], [""], ["\0"], [b""], {}, {"\0": "\0"}, {"x": -1}),
]
"""For any argument of a call of the store."""

NAMES = ["x" * 1000, "\0", "a\0b", "\u202e", "-1", "1e18", "..", "'; --", "\ud7ff"]
"""For what stands in a path."""


class Asked(NamedTuple):
    """A method of a path, and the forms of what goes with it."""

    method: str
    path: str
    query: Any
    body: Any


def all_asked() -> Iterator[Asked]:
    with Mainspring("sqlite://:memory:", Tasks()) as app:
        service = Service(app)
        for route in routes_over(service):
            if not isinstance(route, Route) or not isinstance(route.app, Operations):
                continue
            for method, declared in route.app.by_method.items():
                if method != "HEAD" and not route.path.startswith("/store"):
                    yield Asked(method, route.path, declared.query, declared.body)
        service.close()


ALL = list(all_asked())


@pytest.fixture(scope="module")
def server(lasting: Running) -> Running:
    return lasting


def refused(http: Http, method: str, path: str, **more: Any) -> bool:
    """Whether it is; that it cannot be done is no answer. Streams that begin are left alone."""
    with http.stream(method, path, **more) as answer:
        assert answer.status_code < 500, (method, path, more, answer.read())
        return answer.status_code >= 400


def place(path: str, name: str = "x") -> str:
    """A path with that name; what has an id is none that is known."""
    given = quote(name, safe="")
    return path.replace("{id}", str(uuid4())).replace("{name}", given).replace("{key:path}", given)


def structs(form: Any) -> list[inspect.StructType]:
    """Those that may be a whole body or query of that form."""
    if isinstance(form, inspect.UnionType):
        return [each for part in form.types for each in structs(part)]
    return [form] if isinstance(form, inspect.StructType) else []


def fitting(form: Any) -> Any:
    """The least value of a form."""
    match form:
        case inspect.StructType():
            needed = [each for each in form.fields if each.required]
            return {each.encode_name: fitting(each.type) for each in needed}
        case inspect.UnionType():
            return fitting(form.types[0])
        case inspect.ListType() | inspect.VarTupleType():
            return [fitting(form.item_type)]
        case inspect.DictType():
            return {"x": fitting(form.value_type)}
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.UUIDType():
            return str(uuid4())
        case inspect.EnumType():
            return next(iter(form.cls)).value
        case _:
            return "x"


def named(asked: Asked) -> str:
    return f"{asked.method} {asked.path}"


@pytest.mark.parametrize("asked", [each for each in ALL if each.query], ids=named)
def test_any_parameter_may_be_anything(http: Http, asked: Asked) -> None:
    path = place(asked.path)
    form = inspect.type_info(asked.query)
    assert isinstance(form, inspect.StructType)
    usual = {name: str(value) for name, value in fitting(form).items()}
    for each in form.fields:
        for value in TEXTS:
            refused(http, asked.method, path, params=usual | {each.encode_name: value})
        twice = "&".join(f"{each.encode_name}={value}" for value in (1, 2, "%00", "%ff"))
        refused(http, asked.method, f"{path}?{twice}")
    assert refused(http, asked.method, path, params=usual | {"typo": "1"})
    assert refused(
        http, asked.method, path, params=usual | {form.fields[0].encode_name: "x" * 9000}
    )


@pytest.mark.parametrize("asked", [each for each in ALL if each.body], ids=named)
def test_any_member_of_a_body_may_be_anything(http: Http, asked: Asked) -> None:
    path = place(asked.path)
    headers = {"Content-Type": "application/json"}
    for form in structs(inspect.type_info(asked.body)):
        usual = fitting(form)
        for each in form.fields:
            whole = json.encode(usual | {each.encode_name: "HERE"})
            for value in VALUES:
                content = whole.replace(b'"HERE"', value)
                refused(http, asked.method, path, content=content, headers=headers)
        assert refused(http, asked.method, path, json=usual | {"typo": 1})
    for value in VALUES:
        refused(http, asked.method, path, content=value, headers=headers)


@pytest.mark.parametrize("asked", [each for each in ALL if "{" in each.path], ids=named)
def test_any_name_in_a_path_may_be_anything(http: Http, asked: Asked) -> None:
    for name in NAMES:
        path = asked.path.replace("{id}", quote(name, safe=""))
        more = (
            {}
            if asked.body is None
            else {"json": fitting(structs(inspect.type_info(asked.body))[0])}
        )
        refused(http, asked.method, place(path, name), **more)


@pytest.mark.parametrize("verb", VERBS)
def test_any_argument_of_a_call_of_the_store_may_be_anything(http: Http, verb: str) -> None:
    headers = {"Content-Type": "application/msgpack"}

    def call(content: bytes) -> None:
        refused(http, "POST", f"/store/{verb}", content=content, headers=headers)

    form = inspect.type_info(VERBS[verb].arguments.type)
    assert isinstance(form, inspect.StructType)
    usual = fitting(form)
    for each in form.fields:
        for value in ARGUMENTS:
            call(msgpack.encode(usual | {each.encode_name: value}))
    for content in (b"", b"\xc1", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", msgpack.encode([])):
        call(content)
