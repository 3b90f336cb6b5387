"""Select: the one query that is put together, from the fixed pieces in selection.sql.

Every state has a branch of its own that reads the table of that state, newest first; the
branches are merged. So the rare is found without looking at the plenty. How many jobs a queue
has in each state is known, so that a branch with nothing in it is not read at all.
"""

from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import Any

from mainspring.engines.common.codes import CODE, PENDING, STATE, default_lane
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.step import as_json
from mainspring.job import Select

SQL = sections(__file__)

_FEW = 10_000
"""So many jobs are rather found by an index and sorted than looked for among all others."""


def matching(
    connection: Connection, select: Select, limit: int, after: int | None = None
) -> list[int]:
    """The numbers of jobs that match, highest first, at most so many, below `after`."""
    queues = _queues(connection, select)
    parameters: dict[str, Any] = {"limit": limit}
    conditions = _conditions(connection, select, after, parameters)
    if queues is not None:
        parameters["queues"] = as_json(queues)
        parameters["lanes"] = as_json([default_lane(queue) - n for queue in queues for n in (0, 1)])
    branches = [f"{branch}\n{conditions}" for branch in _branches(connection, select, queues)]
    statement = "\nUNION ALL\n".join(branches) + f"\n{SQL['order']}"
    return [number for (number,) in connection.execute(statement, parameters).fetchall()]


def _queues(connection: Connection, select: Select) -> list[int] | None:
    if select.queues is None:
        return None
    rows = connection.execute(SQL["queues"], (as_json(select.queues),)).fetchall()
    return [number for (number,) in rows]


def _branches(connection: Connection, select: Select, queues: Sequence[int] | None) -> list[str]:
    """What is read, and of which queues."""
    if queues is None and select.states is None:
        return [SQL["any"]]
    if queues is None:
        counts = dict(connection.execute(SQL["counts"]).fetchall())
    else:
        counts = dict(connection.execute(SQL["counts_of_queues"], (as_json(queues),)).fetchall())
    states = STATE if select.states is None else sorted(CODE[state] for state in select.states)
    wanted = {state: counts.get(state, 0) for state in states}
    if select.states is None and sum(wanted.values()) > _FEW:
        return [f"{SQL['any']}\n{SQL['of_queues_scanned']}"]
    branches = []
    for state, count in wanted.items():
        few = count <= _FEW
        branch = SQL[f"in_{STATE[state].value}" if few or state != PENDING else "in_no_other"]
        if queues is not None:
            if count == 0:
                continue
            of = "of_lanes" if few and state == PENDING else "of_queues"
            branch += "\n" + SQL[of if few else "of_queues_scanned"]
        branches.append(branch)
    return branches or [SQL["none"]]


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
    given("if_tasks", select.tasks, as_json)
    given("if_keys", select.keys, as_json)
    given("if_tags", select.tags, as_json)
    given("if_before", select.before)
    given("if_since", select.after)
    given("if_below", after)
    return "\n".join(pieces)
