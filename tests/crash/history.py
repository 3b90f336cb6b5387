"""What really happened, written down by everyone who took part.

Each process appends JSON lines to a file of its own, one `write` an event, so a kill leaves at
most one torn last line. Times are of the monotonic clock, which all processes of a machine share.

`inserting` (mark): a producer is about to ask. `inserted` (mark; start: when it asked; unique;
after: marks of parents; due: seconds of the wall clock; line: of one in which order is promised):
it was acknowledged. `refused`: it was not.
`begin`, `end`, `raised` (mark, claim, attempt, pid, parent: its worker, wall): by the task itself.
`seen` (mark, state): somebody read that it had ended so.
`fault` (who; hits: the processes that it meets, otherwise all): harm is done. `healed` (of: the
moment of the fault): from now on it has no effect.
"""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Recorder:
    """Appends facts: `record(op, mark=..., ...)`."""

    def __init__(self, folder: Path, who: str) -> None:
        path = folder / f"{who}-{os.getpid()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def record(self, op: str, **facts: Any) -> int:
        """Write it down; the moment at which it was."""
        now = time.monotonic_ns()
        facts |= {"t": now, "op": op}
        os.write(self._file, json.dumps(facts).encode() + b"\n")
        return now


def read(folder: Path) -> list[dict[str, Any]]:
    """All facts in order of time; a torn last line is left out."""
    facts = []
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            try:
                facts.append(json.loads(line))
            except ValueError:
                continue
    return sorted(facts, key=lambda fact: fact["t"])


@dataclass
class Ended:
    """A job as the store tells it when all is over: `errors` are the types of those of its
    attempts, `accepted` is the claim under which the result that counts was made."""

    mark: str
    state: str
    attempt: int
    max_retries: int
    errors: list[str]
    claims: int | None = None
    accepted: int | None = None
    failed_attempts: list[int] = field(default_factory=list)

    @property
    def lost_attempts(self) -> set[int]:
        """Those that ended with the process in which they ran."""
        ends = zip(self.failed_attempts, self.errors, strict=True)
        return {attempt for attempt, error in ends if error == "WorkerLost"}
