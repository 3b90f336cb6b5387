"""Queues, tasks and policies by the small numbers that stand for them in the file."""

from collections.abc import Callable
from sqlite3 import Cursor
from typing import TypeAlias

from mainspring.engines.common.sections import sections
from mainspring.job import Policy, decode_policy

SQL = sections(__file__)

Run: TypeAlias = Callable[[str, tuple[object]], Cursor]
"""Executes a statement; see `Step.run`."""


class Names:
    """What is known of the three tables of names. They only grow, so it stays true, but for what
    a transaction added that was rolled back: then `forget`."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str | bytes], int] = {}
        self._values: dict[tuple[str, int], str | bytes] = {}
        self.jobs: dict[tuple[str, str, int], tuple[Policy, tuple[int, int, int, int]]] = {}
        """A memory of insert's: what it needs of each combination of queue, task and policy."""

    def forget(self) -> None:
        """Learn everything anew."""
        self._numbers.clear()
        self._values.clear()
        self.jobs.clear()

    def queue(self, run: Run, name: str) -> int:
        """The number of a queue, which is made if there is none."""
        return self._number(run, "queue", name)

    def task(self, run: Run, name: str) -> int:
        """The number of a task's name."""
        return self._number(run, "task", name)

    def policy(self, run: Run, body: bytes) -> int:
        """The number of an encoded policy."""
        return self._number(run, "policy", body)

    def queue_name(self, run: Run, number: int) -> str:
        """The name of a queue."""
        return str(self._value(run, "queue", number))

    def task_name(self, run: Run, number: int) -> str:
        """The name of a task."""
        return str(self._value(run, "task", number))

    def policy_body(self, run: Run, number: int) -> bytes:
        """A policy, encoded."""
        return bytes(self._value(run, "policy", number))  # type: ignore[arg-type]

    def policy_of(self, run: Run, number: int) -> Policy:
        """A policy."""
        return decode_policy(self.policy_body(run, number))

    def _number(self, run: Run, table: str, value: str | bytes) -> int:
        if (number := self._numbers.get((table, value))) is None:
            rows = run(SQL[f"find_{table}"], (value,)).fetchall()
            if not rows:
                rows = run(SQL[f"add_{table}"], (value,)).fetchall()
            number = self._numbers[table, value] = rows[0][0]
        return number

    def _value(self, run: Run, table: str, number: int) -> str | bytes:
        if (value := self._values.get((table, number))) is None:
            ((value,),) = run(SQL[f"{table}_value"], (number,)).fetchall()
            self._values[table, number] = value
        return value
