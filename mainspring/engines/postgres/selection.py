"""Select: the one query that is put together, from the fixed pieces in selection.sql.

Every state has a branch of its own that reads the table of that state, newest first; the
branches are merged. So the rare is found without looking at the plenty.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mainspring.engines.common.codes import PENDING, STATE
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import Blobs, bigints, blobs, texts
from mainspring.engines.postgres.reader import Reader
from mainspring.job import Select

SQL = sections(__file__)

_FEW = 10_000
"""So many pending jobs are rather sorted than looked for among all others."""


def matching(reader: Reader, select: Select, limit: int, after: int | None = None) -> list[int]:
    """The numbers of jobs that match, highest first, at most so many, below `after`."""
    parameters: dict[str, Any] = {"limit": limit}
    conditions = _conditions(reader, select, after, parameters)
    branches = [f"{SQL[name]}\n{conditions}" for name in _branches(reader, select)]
    statement = "\nUNION ALL\n".join(branches) + f"\n{SQL['order']}"
    return [number for (number,) in reader.rows(statement, parameters)]


def _branches(reader: Reader, select: Select) -> list[str]:
    if select.states is None:
        return ["any"]
    names = [f"in_{state.value}" for state in STATE.values() if state in select.states]
    if "in_pending" in names:
        (pending,) = reader.row(SQL["pending"], (PENDING,))
        if pending > _FEW:
            names[names.index("in_pending")] = "in_no_other"
    return names or ["none"]


def _conditions(
    reader: Reader, select: Select, after: int | None, parameters: dict[str, Any]
) -> str:
    pieces = []

    def given(name: str, value: Any, convert: Callable[[Any], Any] = lambda value: value) -> None:
        if value is not None:
            pieces.append(SQL[name])
            parameters[name.removeprefix("if_")] = convert(value)

    if select.ids is not None:
        rows = reader.rows(SQL["numbers"], (blobs(select.ids),))
        given("if_numbers", bigints([number for (number,) in rows]))
    given("if_queues", select.queues, texts)
    given("if_tasks", select.tasks, texts)
    given("if_keys", select.keys, _encoded)
    given("if_tags", select.tags, _encoded)
    given("if_before", select.before)
    given("if_since", select.after)
    given("if_below", after)
    return "\n".join(pieces)


def _encoded(values: Sequence[str]) -> Blobs:
    return blobs([value.encode() for value in values])
