"""Queues, tasks and policies by the small numbers that stand for them in the file."""

from sqlite3 import Connection

from mainspring.engines.sqlite.sections import sections
from mainspring.job import Policy, decode_policy

SQL = sections(__file__)


class Names:
    """What is known of the three tables of names. They only grow, so it stays true, but for what
    a transaction added that was rolled back: then `forget`."""

    def __init__(self) -> None:
        self._queues: dict[str, int] = {}
        self._tasks: dict[str, int] = {}
        self._policies: dict[bytes, int] = {}
        self._bodies: dict[int, Policy] = {}

    def forget(self) -> None:
        """Learn everything anew."""
        self.__init__()  # type: ignore[misc]

    def queue(self, connection: Connection, name: str) -> int:
        """The number of a queue, which is made if there is none."""
        if (number := self._queues.get(name)) is None:
            number = self._queues[name] = _intern(connection, "queue", name)
        return number

    def known_queue(self, connection: Connection, name: str) -> int | None:
        """The number of a queue; None if there is none."""
        if (number := self._queues.get(name)) is None:
            row = connection.execute(SQL["find_queue"], (name,)).fetchone()
            if row is None:
                return None
            number = self._queues[name] = row[0]
        return number

    def task(self, connection: Connection, name: str) -> int:
        """The number of a task's name."""
        if (number := self._tasks.get(name)) is None:
            number = self._tasks[name] = _intern(connection, "task", name)
        return number

    def policy(self, connection: Connection, body: bytes) -> int:
        """The number of an encoded policy."""
        if (number := self._policies.get(body)) is None:
            number = self._policies[body] = _intern(connection, "policy", body)
        return number

    def policy_of(self, connection: Connection, number: int) -> Policy:
        """The policy that a number stands for."""
        if (policy := self._bodies.get(number)) is None:
            (body,) = connection.execute(SQL["policy_body"], (number,)).fetchone()
            policy = self._bodies[number] = decode_policy(body)
        return policy


def _intern(connection: Connection, table: str, value: str | bytes) -> int:
    row = connection.execute(SQL[f"find_{table}"], (value,)).fetchone()
    if row is None:
        row = connection.execute(SQL[f"add_{table}"], (value,)).fetchone()
    number: int = row[0]
    return number
