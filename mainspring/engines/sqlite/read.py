"""Reading: jobs as they stand, in one snapshot."""

from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import Any

import msgspec

from mainspring.engines.common.codes import STATE, STATES, default_lane
from mainspring.engines.common.extra import decode_extra, decode_headers
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.damage import shown
from mainspring.engines.sqlite.step import as_json
from mainspring.job import JobError, Policy, Record, State, decode_policy
from mainspring.store import Counts, Line, Presence

SQL = sections(__file__)

_decode_error = msgspec.msgpack.Decoder(JobError).decode
_decode_presence = msgspec.msgpack.Decoder(Presence).decode


_COLUMNS = (
    *("number", "id", "queue", "task", "payload", "priority", "created", "expires", "policy"),
    *("headers", "extra", "state", "attempt", "claims", "due", "reason", "started", "finished"),
    *("took", "worker", "token", "result", "progress", "note", "cancel", "error"),
)
"""Of the section `records`."""


def get(connection: Connection, ids: Sequence[bytes]) -> list[Record | None]:
    """The jobs with these ids, in order."""
    if not ids:
        return []
    numbers = dict(connection.execute(SQL["numbers"], (len(ids), b"".join(ids))).fetchall())
    found = {record.id: record for record in records(connection, list(numbers.values()))}
    return [found.get(id) for id in ids]


def records(connection: Connection, numbers: Sequence[int]) -> list[Record]:
    """The jobs with these numbers, in order."""
    rows = connection.execute(SQL["records"], (as_json(numbers),)).fetchall()
    return [_record(row) for row in rows]


def _record(row: Sequence[Any]) -> Record:
    told = dict(zip(_COLUMNS, row, strict=True))
    rare = decode_extra(told.pop("extra"))
    error, cancel = told.pop("error"), told.pop("cancel")
    return Record(
        **told
        | {
            "id": shown(told["id"]),
            "payload": _bytes(told["payload"]),
            "state": STATE[told["state"]],
            "headers": _or({}, decode_headers, told["headers"]),
            "policy": _or(Policy(), decode_policy, told["policy"]),
            "error": None if error is None else _or(None, _decode_error, error),
            "cancel_asked": cancel is not None,
            "key": rare.key,
            "unique": rare.unique,
            "label": rare.label,
            "tags": rare.tags,
            "parents": tuple(edge.parent for edge in rare.edges),
        }
    )


def _or(otherwise: Any, decode: Callable[[Any], Any], column: Any) -> Any:
    """The column decoded, or something in its place where other software damaged it: a job that
    was put aside for that can be looked at, and hides no other."""
    try:
        return decode(column)
    except (ValueError, TypeError):
        return otherwise


def _bytes(column: Any) -> bytes:
    return column if isinstance(column, bytes) else str(column).encode()


def counts(connection: Connection) -> Counts:
    """Jobs by queue and state."""
    answer: Counts = {}
    for queue, state, n in connection.execute(SQL["counts"]):
        states = answer.setdefault(queue, dict.fromkeys(STATES, 0))
        if state is not None:
            states[State(STATE[state])] = n
    return answer


def history(connection: Connection, id: bytes) -> list[JobError]:
    """The errors of a job's attempts, oldest first."""
    return [_decode_error(body) for (body,) in connection.execute(SQL["history"], (id,))]


def logs(connection: Connection, id: bytes, limit: int) -> list[Line]:
    """The newest lines of a job's log, oldest first."""
    rows = connection.execute(SQL["logs"], (id, limit)).fetchall()
    return [Line(*row) for row in reversed(rows)]


def position(connection: Connection, id: bytes) -> int | None:
    """The job's place among the pending jobs of its queue."""
    row = connection.execute(SQL["place"], (id,)).fetchone()
    if row is None:
        return None
    queue, score, number = row
    lane = default_lane(queue)
    ((before,),) = connection.execute(
        SQL["before"], {"lane": lane, "suspects": lane - 1, "score": score, "number": number}
    ).fetchall()
    return int(before) + 1


def workers(connection: Connection, lease: int) -> list[Presence]:
    """Workers whose last heartbeat still counts, by id."""
    return [_decode_presence(body) for (body,) in connection.execute(SQL["workers"], (lease,))]
