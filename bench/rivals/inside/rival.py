"""What the harness asks of a rival: the one interface behind which all of them are measured.

A rival is one file `on_NAME.py` with an object `rival` of this shape. What it needs is written at
its top as inline script metadata: pinned packages, and the store it keeps its jobs in.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol

Use = Literal["one", "two", "sleeps"]
"""One worker process, two of them, or the best set-up for 2,000 jobs that only wait."""

ON_REDIS = (
    "append-only file, synced once a second: an enqueue survives kill -9 of any process; "
    "a power cut may take the last second or two"
)
"""The durability of the private Redis server (bench/servers.py) in words."""

ON_POSTGRES = "fsync and synchronous_commit on: an enqueue survives kill -9 and power loss"
"""That of the private PostgreSQL server."""


class Rival(Protocol):
    title: str
    durability: str
    """What an acknowledged enqueue survives, in words."""
    recovery: str
    """What becomes of a job whose worker dies, in words."""
    reclaim_after: float
    """Seconds after which a dead worker's job can be had again, if ever."""
    bulk: str
    """The fastest way to enqueue many, in words."""
    settings: ClassVar[Mapping[Use, str]]
    """How `workers` is tuned, in words."""

    def prepare(self) -> None:
        """Forget every job. No worker is running."""

    def enqueue(self, task: str, number: int, text: str) -> None:
        """Enqueue one job; it is stored when this returns."""

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        """Enqueue jobs the fastest way there is."""

    def unfinished(self) -> int:
        """How many jobs the store still holds, waiting or running."""

    def workers(self, use: Use) -> list[list[str]]:
        """The command lines of the workers."""
