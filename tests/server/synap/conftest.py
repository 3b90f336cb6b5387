"""A server that speaks Synap, and a client for its wire."""

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from mainspring import Mainspring
from mainspring.server.terms import Terms
from tests.server.conftest import Running

Answer = dict[str, Any]


class Wire(httpx.Client):
    """A client that knows what it expects."""

    def ask(self, command: str, payload: Any) -> Answer:
        """The whole answer to a command."""
        body = {"command": command, "request_id": "r-1", "payload": payload}
        answer = self.post("/api/v1/command", json=body)
        assert answer.status_code == 200, answer.text
        told: Answer = answer.json()
        assert told.keys() == {"success", "request_id", "payload", "error"}
        assert told["request_id"] == "r-1"
        return told

    def told(self, command: str, /, **fields: Any) -> Any:
        """What a command answers that goes well."""
        answer = self.ask(command, fields)
        assert (answer["success"], answer["error"]) == (True, None), answer
        return answer["payload"]

    def refused(self, command: str, /, **fields: Any) -> str:
        """Why a command was refused."""
        answer = self.ask(command, fields)
        assert (answer["success"], answer["payload"]) == (False, None), answer
        error: str = answer["error"]
        return error

    def rest(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """What a path answers with that status."""
        answer = self.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        told = answer.json()
        if status >= 400:
            assert told.keys() == {"error", "code"}
            assert told["code"] == status
        return told


@pytest.fixture
def server(app: Mainspring) -> Iterator[Running]:
    running = Running(app, Terms(synap=True))
    yield running
    running.stop()


@pytest.fixture
def synap(server: Running) -> Iterator[Wire]:
    with Wire(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        yield client
