"""OpenAPI: the routes and their forms as a document of OpenAPI 3.1, for people and for programs."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, UnsetType
from msgspec.structs import FieldInfo
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from mainspring import __version__
from mainspring.keys import Permission
from mainspring.server.entry.paths import Events, Operation, Operations, Page, path, read
from mainspring.server.forms.answers import answer
from mainspring.server.forms.problems import MEDIA_TYPE, ProblemShown
from mainspring.server.routes.docs import POLICY, page

SCHEMAS = "#/components/schemas/{name}"
PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
SENTENCE = re.compile(r"(?<=\.)\s+")
KEY = "key"
NEEDS = {Permission.OPEN: "", Permission.ANY: "Needs a key."}
MEDIA = {Events: "text/event-stream", Page: "text/html"}
"""Answers that are no JSON."""

PROBLEM = {
    "description": "Why it was not done (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": {"$ref": SCHEMAS.format(name=ProblemShown.__name__)}}},
}


class OpenApiRoutes:
    """What can be asked of the routes themselves."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    def routes(self) -> list[Route]:
        """Each path and method."""
        return [
            path("/openapi.json", GET=read(self.get, answers={200: dict[str, Any]})),
            path("/docs", GET=read(self.show, answers={200: Page})),
        ]

    async def get(self, request: Request) -> Response:
        """This document."""
        servers = [{"url": request.scope.get("root_path") or "/"}]
        return answer(self._document | {"servers": servers})

    async def show(self, request: Request) -> Response:
        """The same as a page for people."""
        return HTMLResponse(self._page, headers={"Content-Security-Policy": POLICY})

    @cached_property
    def _document(self) -> dict[str, Any]:
        return document([*self._routes, *self.routes()])

    @cached_property
    def _page(self) -> str:
        return page(self._document)


def document(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """All that these routes can be asked, and what they answer."""
    operations = list(operations_of(routes))
    schemas = Schemas(each for _, _, operation in operations for each in _forms(operation))
    paths: dict[str, dict[str, Any]] = {}
    for place, method, operation in operations:
        paths.setdefault(place, {})[method.lower()] = _operation(place, method, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mainspring",
            "version": __version__,
            "summary": "A durable task queue: jobs, messages, entries and topics.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {KEY: {"type": "http", "scheme": "bearer"}},
        },
    }


def operations_of(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, Operation]]:
    """Each operation with its path, as OpenAPI writes it, and method; HEAD goes without saying."""
    for route in routes:
        if isinstance(route, Route) and isinstance(route.app, Operations):
            for method, operation in route.app.by_method.items():
                if method != "HEAD":
                    yield PARAMETER.sub(r"{\1}", route.path), method, operation


class Schemas:
    """JSON Schemas (2020-12) of all forms; what has a name stands among the components."""

    def __init__(self, forms: Iterable[Any]) -> None:
        self._forms = [ProblemShown, *(each for form in forms for each in _alternatives(form))]
        shown, self.components = msgspec.json.schema_components(self._forms, ref_template=SCHEMAS)
        self._shown = list(shown)

    def of(self, form: Any) -> dict[str, Any]:
        """The schema of one of the forms."""
        shown = [self._shown[self._forms.index(each)] for each in _alternatives(form)]
        return shown[0] if len(shown) == 1 else {"anyOf": shown}


def _alternatives(form: Any) -> Sequence[Any]:
    """The members of a union: msgspec describes several structs, but not their union."""
    members = get_args(form) if get_origin(form) in (Union, UnionType) else (form,)
    return [each for each in members if each is not UnsetType]


def _forms(operation: Operation) -> Iterator[Any]:
    yield from (
        each for each in operation.answers.values() if each is not None and each not in MEDIA
    )
    if operation.body is not None:
        yield operation.body
    if operation.query is not None:
        yield from (field.type for field in msgspec.structs.fields(operation.query))


def _operation(place: str, method: str, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    told = inspect.getdoc(operation.endpoint) or ""
    permission = operation.permission
    needs = NEEDS.get(permission, f"Needs a key with `{permission}`.")
    summary, more = _first_sentence(told)
    described: dict[str, Any] = {
        "operationId": _id(place, method),
        "tags": [place.split("/")[1].partition(".")[0]],
        "summary": summary,
        "description": "\n\n".join(filter(None, (more, needs))),
        "security": [] if permission is Permission.OPEN else [{KEY: []}],
        "responses": {
            **{str(status): _answer(form, schemas) for status, form in operation.answers.items()},
            "default": PROBLEM,
        },
    }
    if parameters := [*_in_path(place), *_in_query(operation, schemas)]:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": type(None) not in get_args(operation.body),
            "content": {"application/json": {"schema": schemas.of(operation.body)}},
        }
    return described


def _first_sentence(told: str) -> tuple[str, str]:
    """The first sentence of a docstring on one line, and the rest."""
    first, *rest = SENTENCE.split(told, maxsplit=1)
    return " ".join(first.split()), "".join(rest)


def _answer(form: Any, schemas: Schemas) -> dict[str, Any]:
    if form is None:
        return {"description": "Nothing more to say."}
    if form in MEDIA:
        content = {MEDIA[form]: {"schema": {"type": "string"}}}
        return {"description": inspect.getdoc(form), "content": content}
    described = inspect.getdoc(form) if inspect.isclass(form) else None
    return {
        "description": _first_sentence(described or "The answer.")[0],
        "content": {"application/json": {"schema": schemas.of(form)}},
    }


def _in_path(place: str) -> Iterator[dict[str, Any]]:
    for name in PARAMETER.findall(place):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(operation: Operation, schemas: Schemas) -> Iterator[dict[str, Any]]:
    if operation.query is None:
        return
    for field in msgspec.structs.fields(operation.query):
        yield {
            "name": field.encode_name,
            "in": "query",
            "required": field.required,
            "schema": schemas.of(field.type) | _default(field),
        }


def _default(field: FieldInfo) -> dict[str, Any]:
    return {} if field.default in (NODEFAULT, UNSET, None) else {"default": field.default}


def _id(place: str, method: str) -> str:
    words = [word for word in re.split(r"\W+", place) if word]
    return method.lower() + "".join(word[:1].upper() + word[1:] for word in words)
