"""Queues, tasks and policies by the small numbers that stand for them in the database.

A name is added in a transaction of its own, before the one that needs it: else who holds a
transaction open would keep all others from using the name.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import plain
from mainspring.job import Policy, decode_policy

SQL = sections(__file__)

Rows: TypeAlias = Callable[[str, tuple[object, ...]], list[tuple[object, ...]]]
"""Executes a query; see `Reader.rows`."""

MOST_REMEMBERED = 4096
"""Combinations of queue, task and policy whose numbers are remembered."""


class Names:
    """What is known of the three tables of names. They only grow, so it stays true."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str | bytes], int] = {}
        self._values: dict[tuple[str, int], str | bytes] = {}
        self.jobs: dict[tuple[str, str, int], tuple[Policy, tuple[int, int, int, int]]] = {}
        """A memory of insert's: what it needs of each combination of queue, task and policy."""
        self.by_hand: set[str] = set()
        """Queues known to be used by hand."""

    def unknown(self, table: str, values: Iterable[str | bytes]) -> list[str | bytes]:
        """Those whose numbers must be learnt."""
        return [value for value in dict.fromkeys(values) if (table, value) not in self._numbers]

    def learn(self, rows: Rows, table: str, value: str | bytes) -> None:
        """Get the number of this, adding it if need be. Not in a transaction."""
        written = plain(value) if isinstance(value, str) else value
        found = rows(SQL[f"find_{table}"], (written,))
        while not found:
            found = rows(SQL[f"add_{table}"], (written,)) or rows(SQL[f"find_{table}"], (written,))
        self._numbers[table, value] = int(str(found[0][0]))

    def queue(self, name: str) -> int:
        """The number of a queue that was learnt."""
        return self._numbers["queue", name]

    def task(self, name: str) -> int:
        """The number of a task that was learnt."""
        return self._numbers["task", name]

    def policy(self, body: bytes) -> int:
        """The number of an encoded policy that was learnt."""
        return self._numbers["policy", body]

    def queue_name(self, rows: Rows, number: int) -> str:
        """The name of a queue."""
        return str(self._value(rows, "queue", number))

    def task_name(self, rows: Rows, number: int) -> str:
        """The name of a task."""
        return str(self._value(rows, "task", number))

    def policy_body(self, rows: Rows, number: int) -> bytes:
        """A policy, encoded."""
        return bytes(self._value(rows, "policy", number))  # type: ignore[arg-type]

    def policy_of(self, rows: Rows, number: int) -> Policy:
        """A policy."""
        return decode_policy(self.policy_body(rows, number))

    def _value(self, rows: Rows, table: str, number: int) -> str | bytes:
        if (value := self._values.get((table, number))) is None:
            ((found,),) = rows(SQL[f"{table}_value"], (number,))
            assert isinstance(found, str | bytes)
            value = self._values[table, number] = found
        return value
