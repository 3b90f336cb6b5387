"""The command serve: one process or many, a worker beside, curl, signals."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from mainspring import Mainspring
from mainspring.cli import run
from tests import curl
from tests.server.conftest import Http, until

ROOT = Path(__file__).resolve().parents[2]
APP = """
from mainspring import Mainspring, Tasks
tasks = Tasks()
@tasks.handler("email")
def email(payload):
    return f"sent to {payload['to']}"
app = Mainspring("sqlite:///jobs.db", tasks)
"""


class Program:
    """`mainspring serve` as a program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        self.said = process.stderr.readline()
        found = re.search(r"https?://[\d.]+:(\d+)", self.said)
        assert found, self.said
        self.port = int(found[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(40)


Start = Callable[..., Program]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MAINSPRING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def program(*arguments: str) -> Program:
        command = [sys.executable, "-m", "mainspring", *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return Program(process)

    yield program
    for process in started:
        process.kill()
        process.communicate()


def client(program: Program) -> Http:
    return Http(base_url=f"http://127.0.0.1:{program.port}", timeout=30)


CURL = r"""
curl -X POST http://localhost:3000/tasks \
  -H "Content-Type: application/json" \
  -d '{
    "type": "email",
    "payload": {"to": "user@example.com", "subject": "Test"},
    "priority": 5
  }'
---
curl http://localhost:3000/tasks/{task-id}
---
curl http://localhost:3000/tasks?status=completed&limit=10
---
curl http://localhost:3000/stats
---
curl http://localhost:3000/health
"""


def test_what_one_would_ask_by_curl_is_answered(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("curl"):
        curl.put_into(tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    program = start("--app", "shop:app", "serve", "--port", "0", "--with-worker")
    add, *others = CURL.replace(":3000", f":{program.port}").split("---\n")
    with client(program) as http:
        until(lambda: http.get("/health").status_code == 200)
        task = _by_curl(add)["task"]
        assert (task["type"], task["priority"], task["status"]) == ("email", 5, "pending")
        http.told(200, "GET", f"/tasks/{task['id']}/wait")
        one, listed, stats, health = (
            _by_curl(line.replace("{task-id}", task["id"])) for line in others
        )
    assert one["task"]["result"] == "sent to user@example.com"
    assert [each["id"] for each in listed["tasks"]] == [task["id"]]
    assert stats["stats"]["queue"]["byStatus"]["completed"] == 1
    assert health["status"] == "healthy"
    assert program.stop() == 0


def _by_curl(line: str) -> Any:
    """What the shell prints for the line; a `&` that is not quoted sends curl to the background."""
    line = line.replace("curl ", "curl -s ")
    done = subprocess.run(["sh", "-c", f"{line}\nwait"], capture_output=True, check=True)
    return json.loads(done.stdout)


def test_several_processes_answer_and_one_that_dies_is_replaced(start: Start) -> None:
    program = start("serve", "--port", "0", "--processes", "2")
    first = _pids(program, 2)
    killed = min(first)
    os.kill(killed, signal.SIGKILL)
    assert program.process.stderr is not None
    assert f"process {killed} died (signal 9)" in program.process.stderr.readline()
    until(lambda: len(_pids(program, 2) - {killed}) == 2)
    with client(program) as http:
        http.task()
    assert program.stop() == 0


def _pids(program: Program, many: int) -> set[int]:
    """Who answers on the port, until as many have."""
    found: set[int] = set()

    def asked() -> bool:
        with client(program) as http:
            try:
                found.add(http.told(200, "GET", "/ready")["pid"])
            except httpx.TransportError:
                return False
        return len(found) >= many

    until(asked)
    return found


def test_a_stop_answers_those_who_wait(start: Start) -> None:
    program = start("serve", "--port", "0", "--processes", "2")
    with client(program) as http:
        id = http.task(delay="1h")["id"]
        with http.stream("GET", f"/tasks/{id}/events") as stream:
            lines = stream.iter_lines()
            assert "event: state" in lines
            assert program.stop() == 0
            assert "event: state" not in lines
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{program.port}/ready")


def test_the_processes_of_a_server_end_with_it(start: Start) -> None:
    program = start("serve", "--port", "0", "--processes", "2")
    pids = _pids(program, 2)
    program.process.kill()

    def gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    until(gone)


OPEN = "0.0.0.0"  # noqa: S104 - it is what is looked at


@pytest.mark.parametrize("host", [OPEN, "::"])
@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ([], "--tls-cert"),
        (["--insecure-no-auth"], "--tls-cert"),
        (["--insecure-no-tls"], "mainspring keys create"),
        (["--behind-proxy", "127.0.0.1"], "mainspring keys create"),
        (["--tls-cert", "c.pem"], "mainspring keys create"),
    ],
)
def test_off_loopback_nothing_starts_without_keys_and_tls(
    capsys: pytest.CaptureFixture[str], host: str, options: list[str], missing: str
) -> None:
    assert run(["serve", "--host", host, "--port", "0", *options]) == 2
    said = capsys.readouterr().err
    assert f"{host} can be reached by other machines" in said
    assert missing in said


def test_a_socket_that_is_handed_over_is_looked_at_too(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((OPEN, 0)) as listener:
        assert run(["serve", "--insecure-no-tls", "--fd", str(os.dup(listener.fileno()))]) == 78
    assert "there is no key" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [("--insecure-no-auth", "--insecure-no-tls"), ("--insecure-no-tls",)]
)
def test_what_is_insecure_is_spelled_out_and_warned_of(
    start: Start, options: tuple[str, ...]
) -> None:
    with Mainspring("sqlite:///mainspring.db") as app:
        key = app.keys.create("a", ["admin"]).key
    headers = {} if "--insecure-no-auth" in options else {"Authorization": f"Bearer {key}"}
    program = start("serve", "--host", OPEN, "--port", "0", *options)
    assert program.process.stderr is not None
    for option in options:
        said = program.process.stderr.readline()
        assert said.startswith("warning: ")
        assert option in said
    with client(program) as http:
        http.told(200, "GET", "/tasks", headers=headers)
        http.told(200 if not headers else 401, "GET", "/tasks")
    assert program.stop() == 0


def test_all_processes_of_a_server_have_its_terms(start: Start) -> None:
    with Mainspring("sqlite:///mainspring.db") as app:
        key = app.keys.create("n", ["read"])
    certificates = ROOT / "tests" / "server" / "certificates"
    program = start(
        *("serve", "--port", "0", "--processes", "2", "--access-log", "--rate", "1000/h"),
        *("--tls-cert", str(certificates / "server.pem")),
        *("--tls-key", str(certificates / "server.key")),
    )
    trust = ssl.create_default_context(cafile=str(certificates / "authority.pem"))
    headers = {"Authorization": f"Bearer {key.key}"}
    pids: set[int] = set()
    while len(pids) < 2:
        base_url = f"https://127.0.0.1:{program.port}"
        with Http(base_url=base_url, verify=trust, headers=headers, timeout=30) as http:
            pids.add(http.told(200, "GET", "/ready")["pid"])
            http.told(200, "GET", "/tasks")
    assert program.stop() == 0
    assert program.process.stderr is not None
    lines = [json.loads(line) for line in program.process.stderr]
    asked = [line for line in lines if line["path"] == "/tasks"]
    assert {(line["status"], line["key"]) for line in asked} == {(200, key.id)}
    assert key.key[-43:] not in str(lines)


@pytest.mark.parametrize("option", ["--tls-key", "--tls-client-ca"])
def test_what_belongs_to_a_certificate_needs_one(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(["serve", option, "file.pem"]) == 2
    assert f"{option}: expected --tls-cert, too" in capsys.readouterr().err


def test_a_certificate_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--port", "0", "--tls-cert", "none.pem"]) == 2
    told = capsys.readouterr().err
    assert "tls_cert: expected a file in PEM, got none.pem: No such file" in told


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 78
    assert f"port {port}: Address already in use" in capsys.readouterr().err


def test_a_worker_beside_needs_an_app(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--with-worker"]) == 2
    assert "--with-worker: expected --app" in capsys.readouterr().err


def test_settings_of_the_environment_count(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAINSPRING_PORT", "0")
    monkeypatch.setenv("MAINSPRING_SERVER_PROCESSES", "2")
    monkeypatch.setenv("MAINSPRING_URL", f"sqlite:///{tmp_path}/other.db")
    program = start("serve")
    assert "other.db" in program.said
    assert len(_pids(program, 2)) == 2
    assert (tmp_path / "other.db").exists()


def test_synaps_wire_is_spoken_by_each_process_where_it_is_asked_for(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "mainspring.toml").write_text('url = "sqlite:///jobs.db"\nserver_processes = 2')
    program = start("serve", "--synap", "--port", "0")
    for n in range(10):
        with client(program) as http:  # each connection may come to another process
            payload = {"key": "n", "client_id": "t"}
            for command in ("transaction.multi", "kv.incr", "transaction.exec"):
                body = {"command": command, "request_id": "1", "payload": payload}
                told = http.told(200, "POST", "/api/v1/command", json=body)
                assert told["success"], told
            assert told["payload"]["results"] == [{"value": n + 1}]
    assert program.stop() == 0
    (tmp_path / "mainspring.toml").write_text('url = "sqlite:///jobs.db"\nsynap = true')
    program = start("serve", "--port", "0")
    with client(program) as http:
        assert http.told(200, "GET", "/queue/list") == {"queues": []}
    assert program.stop() == 0
