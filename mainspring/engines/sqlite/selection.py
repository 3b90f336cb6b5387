"""Select: the one query that is put together, from the fixed pieces in selection.sql.

Every state has a branch of its own that reads the table of that state, newest first; the
branches are merged. So the rare is found without looking at the plenty.
"""

from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

from mainspring.engines.sqlite.codes import PENDING, STATE
from mainspring.engines.sqlite.sections import sections
from mainspring.engines.sqlite.step import as_json
from mainspring.job import Select

SQL = sections(__file__)

_FEW = 10_000
"""So many pending jobs are rather sorted than looked for among all others."""


def matching(
    connection: Connection, select: Select, limit: int, after: int | None = None
) -> list[int]:
    """The numbers of jobs that match, highest first, at most so many, below `after`."""
    parameters: dict[str, Any] = {"limit": limit}
    conditions = _conditions(connection, select, after, parameters)
    branches = [f"{SQL[name]}\n{conditions}" for name in _branches(connection, select)]
    statement = "\nUNION ALL\n".join(branches) + f"\n{SQL['order']}"
    return [number for (number,) in connection.execute(statement, parameters).fetchall()]


def _branches(connection: Connection, select: Select) -> list[str]:
    if select.states is None:
        return ["any"]
    names = [f"in_{state.value}" for state in STATE.values() if state in select.states]
    if "in_pending" in names:
        (pending,) = connection.execute(SQL["pending"], (PENDING,)).fetchall()[0]
        if pending > _FEW:
            names[names.index("in_pending")] = "in_no_other"
    return names or ["none"]


def _conditions(
    connection: Connection, select: Select, after: int | None, parameters: dict[str, Any]
) -> str:
    pieces = []

    def given(name: str, value: Any, convert: Callable[[Any], Any] = lambda value: value) -> None:
        if value is not None:
            pieces.append(SQL[name])
            parameters[name.removeprefix("if_")] = convert(value)

    if select.ids is not None:
        blob = b"".join(select.ids)
        rows = connection.execute(SQL["numbers"], (len(select.ids), blob)).fetchall()
        given("if_numbers", as_json([number for (number,) in rows]))
    given("if_queues", select.queues, as_json)
    given("if_tasks", select.tasks, as_json)
    given("if_keys", select.keys, as_json)
    given("if_tags", select.tags, as_json)
    given("if_before", select.before)
    given("if_since", select.after)
    given("if_below", after)
    return "\n".join(pieces)
