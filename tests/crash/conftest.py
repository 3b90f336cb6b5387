"""The stores that are put under fire: one of each engine, shared by several processes."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import postgres
from tests.servers.redis import in_folder, redis_url, valkey_url

URLS = {
    "sqlite": lambda folder: f"sqlite:///{folder}/jobs.db",
    "postgres": postgres.in_folder,
    "redis": lambda folder: in_folder(redis_url(), folder),
    "valkey": lambda folder: in_folder(valkey_url(), folder),
}


@pytest.fixture(params=URLS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store can be, of every engine."""
    url: str = URLS[request.param](tmp_path)
    return url


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a server without rights may enter."""
    with tempfile.TemporaryDirectory(prefix="mainspring-folder-") as name:
        os.chmod(name, 0o755)
        yield Path(name)
