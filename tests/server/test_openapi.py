"""The OpenAPI document is true: of every route, of every answer, for whatever is asked."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute

from mainspring import Mainspring
from mainspring.server.application import routes_over
from mainspring.server.backend.service import Service
from mainspring.server.routes import messages, tasks
from mainspring.server.routes.openapi import PARAMETER
from tests.server.conftest import Http, Running

LEFT_OUT = (
    *("/tasks/{id}/events", "/topics/subscribe"),  # do not end
    *("/keys/{id}", "/workers/{id}/drain", "/workers/{id}/pause"),  # end what others need
)
"""Paths that are not asked."""

SECONDS = "25"
"""For so long requests are made that follow from the answers to others; a test may take 60."""

OF_THE_LIBRARY = ("/store", "/openapi.json", "/docs")
"""Paths that are no part of what is described to others: the library's own, and the description."""


@pytest.fixture
def document(http: Http) -> Any:
    return http.told(200, "GET", "/openapi.json")


def test_every_route_is_in_the_document_and_nothing_else(app: Mainspring, document: Any) -> None:
    routes = set()
    for route in routes_over(Service(app)):
        assert isinstance(route, Route | WebSocketRoute)
        place = PARAMETER.sub(r"{\1}", route.path)
        if isinstance(route, Route) and not place.startswith(OF_THE_LIBRARY):
            routes |= {(place, method) for method in (route.methods or ()) if method != "HEAD"}
    described = {
        (place, method.upper())
        for place, operations in document["paths"].items()
        for method in operations
        if not place.startswith(OF_THE_LIBRARY)
    }
    assert described == routes


def test_every_answer_has_a_form_and_every_operation_tells_what_it_does(document: Any) -> None:
    for place, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"].endswith("."), (place, method)
            assert set(operation["responses"]) > {"default"}, (place, method)


@pytest.mark.timeout(240)
def test_nothing_that_the_document_allows_or_forbids_is_answered_otherwise(
    app: Mainspring, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LONGEST_WAIT", 100_000)
    monkeypatch.setattr(messages, "LONGEST_POLL", 0.1)
    key = app.keys.create("everything", ["admin"]).key
    with app.worker(in_process=True):
        asked = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                f"http://127.0.0.1:{server.port}/openapi.json",
                *("--header", f"Authorization: Bearer {key}", "--max-examples", "5"),
                *("--generation-deterministic", "--no-color"),
                *("--request-timeout", "20", "--max-time", SECONDS),
                *("--exclude-checks", "positive_data_acceptance,unsupported_method"),
                *[word for path in LEFT_OUT for word in ("--exclude-path", path)],
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert asked.returncode == 0, asked.stdout
