"""Reading: jobs as they stand, in one snapshot."""

from collections.abc import Sequence
from typing import Any

import msgspec

from mainspring.engines.common.codes import STATE, STATES, default_lane
from mainspring.engines.common.extra import decode_extra, decode_headers
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import bigints, blobs
from mainspring.engines.postgres.reader import Reader
from mainspring.job import JobError, Record, State, decode_policy
from mainspring.store import Counts, Line, Presence

SQL = sections(__file__)

_decode_error = msgspec.msgpack.Decoder(JobError).decode
_decode_presence = msgspec.msgpack.Decoder(Presence).decode


_COLUMNS = (
    *("number", "id", "queue", "task", "payload", "priority", "created", "expires", "policy"),
    *("headers", "extra", "state", "attempt", "claims", "due", "reason", "started", "finished"),
    *("took", "worker", "token", "result", "progress", "note", "cancel", "error"),
)
"""Of the function `records`."""


def get(reader: Reader, ids: Sequence[bytes]) -> list[Record | None]:
    """The jobs with these ids, in order."""
    if not ids:
        return []
    found = {record.id: record for record in map(_record, reader.rows(SQL["by_id"], (blobs(ids),)))}
    return [found.get(id) for id in ids]


def records(reader: Reader, numbers: Sequence[int]) -> list[Record]:
    """The jobs with these numbers, in order."""
    return list(map(_record, reader.rows(SQL["by_number"], (bigints(numbers),))))


def _record(row: Sequence[Any]) -> Record:
    told = dict(zip(_COLUMNS, row, strict=True))
    rare = decode_extra(told.pop("extra"))
    error, cancel = told.pop("error"), told.pop("cancel")
    return Record(
        **told
        | {
            "state": STATE[told["state"]],
            "headers": decode_headers(told["headers"]),
            "policy": decode_policy(told["policy"]),
            "error": None if error is None else _decode_error(error),
            "cancel_asked": cancel is not None,
            "key": rare.key,
            "unique": rare.unique,
            "label": rare.label,
            "tags": rare.tags,
            "parents": tuple(edge.parent for edge in rare.edges),
        }
    )


def counts(reader: Reader) -> Counts:
    """Jobs by queue and state."""
    answer: Counts = {}
    for queue, state, n in reader.rows(SQL["counts"]):
        states = answer.setdefault(queue, dict.fromkeys(STATES, 0))
        if state is not None:
            states[State(STATE[state])] = n
    return answer


def history(reader: Reader, id: bytes) -> list[JobError]:
    """The errors of a job's attempts, oldest first."""
    return [_decode_error(body) for (body,) in reader.rows(SQL["history"], (id,))]


def logs(reader: Reader, id: bytes, limit: int) -> list[Line]:
    """The newest lines of a job's log, oldest first."""
    rows = reader.rows(SQL["logs"], (id, limit))
    return [Line(*row) for row in reversed(rows)]


def position(reader: Reader, id: bytes) -> int | None:
    """The job's place among the pending jobs of its queue."""
    row = reader.row(SQL["place"], (id,))
    if row is None:
        return None
    queue, score, number = row
    lane = default_lane(queue)
    ((before,),) = reader.rows(
        SQL["before"], {"lane": lane, "suspects": lane - 1, "score": score, "number": number}
    )
    return int(before) + 1


def workers(reader: Reader, lease: int) -> list[Presence]:
    """Workers whose last heartbeat still counts, by id."""
    return [_decode_presence(body) for (body,) in reader.rows(SQL["workers"], (lease,))]
