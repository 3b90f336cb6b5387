"""Reading: jobs as they stand, in one snapshot."""

import struct
from collections.abc import Sequence

import msgspec

from mainspring.engines.redis.body import read_body, read_row, read_sections, unpack_token, words_of
from mainspring.engines.redis.client import Client
from mainspring.engines.redis.codes import (
    ASKED,
    BLOCKED,
    COMPLETED,
    PENDING,
    RUNNING,
    STATE,
    STATES,
    WORDS,
)
from mainspring.engines.redis.policies import Policies
from mainspring.job import JobError, Record, State, decode_policy
from mainspring.store import Counts, Line, Presence

PAGE = 1000

_encode_error = msgspec.msgpack.Encoder().encode
_decode_error = msgspec.msgpack.Decoder(JobError).decode
_decode_headers = msgspec.msgpack.Decoder(dict[str, str]).decode
_decode_presence = msgspec.msgpack.Decoder(Presence).decode
_time = struct.Struct("<d")
_times = struct.Struct("<dd")
_line = struct.Struct("<dI")


def records(client: Client, policies: Policies, kind: str, names: Sequence[bytes]) -> list[Record]:
    """The jobs with these ids or numbers (`kind`) that are there, in order."""
    found = []
    for at in range(0, len(names), PAGE):
        told = client.run("records", kind, *names[at : at + PAGE], writes=False)
        found += [_record(policies, *each) for each in told]
    return found


def get(client: Client, policies: Policies, ids: Sequence[bytes]) -> list[Record | None]:
    """The jobs with these ids, in order."""
    found = {record.id: record for record in records(client, policies, "id", ids)}
    return [found.get(id) for id in ids]


def _record(
    policies: Policies,
    number: bytes,
    body: bytes,
    row: bytes | None,
    result: bytes | None,
    progress: bytes | None,
    moment: bytes | None,
    error: bytes | None,
    worker: bytes | None,
) -> Record:
    head = read_body(body)
    headers, extra, edges, payload = read_sections(body, head)
    record = Record(
        id=head.id,
        number=int(number),
        state=State.PENDING,
        queue=head.queue,
        task=head.task,
        payload=payload,
        priority=head.priority,
        attempt=0,
        claims=0,
        created=head.created,
        due=head.created,
        worker=None if worker is None else worker.decode(),
        result=result,
        key=extra.key,
        unique=extra.unique,
        label=extra.label,
        expires=None if moment is None else int(moment),
        headers={} if headers is None else _decode_headers(headers),
        tags=extra.tags,
        parents=tuple(edge.parent for edge in edges),
        policy=decode_policy(policies.body(head.policy)),
        error=None if error is None else read_error(error),
    )
    if progress is not None:
        record.progress = _time.unpack_from(progress)[0]
        record.note = progress[8:].decode()
    if row is not None:
        _stand(record, row)
    return record


def _stand(record: Record, data: bytes) -> None:
    """Say where the job stands."""
    row = read_row(data)
    record.state = State(STATE[row.state])
    record.attempt, record.claims = row.attempt, row.claims
    words = words_of(data) if row.bits & WORDS else None
    if row.state >= COMPLETED:
        record.due = None
        record.finished, record.took = int(row.at), int(row.score)
        record.started = int(row.at - row.score) if row.score else None
        record.reason = words
    elif row.state == RUNNING:
        record.due, record.started = int(row.score + row.lift), int(row.at)
        record.token = unpack_token(row.token)
        record.cancel_asked = bool(row.bits & ASKED)
    elif row.state == PENDING:
        record.due = int(row.score + row.lift)
    else:
        record.due = int(row.at)
        record.reason = words if row.state != BLOCKED else None


def counts(client: Client) -> Counts:
    """Jobs by queue and state."""
    counted, names = client.run("counts", writes=False)
    answer: Counts = {name.decode(): dict.fromkeys(STATES, 0) for name in sorted(names)}
    for field, n in zip(counted[::2], counted[1::2], strict=True):
        state, _, queue = field.partition(b":")
        answer.setdefault(queue.decode(), dict.fromkeys(STATES, 0))[STATE[int(state)]] = int(n)
    return answer


def pack_error(error: JobError) -> bytes:
    """An error behind its time."""
    return _time.pack(error.at) + _encode_error(error)


def read_error(data: bytes) -> JobError:
    """An error with the time that stands before it."""
    error = _decode_error(data[_time.size :])
    return msgspec.structs.replace(error, at=int(_time.unpack_from(data)[0]))


def pack_percent(percent: float) -> bytes:
    """A percentage, as it stands before the text of a progress."""
    return _time.pack(percent)


def history(client: Client, id: bytes) -> list[JobError]:
    """The errors of a job's attempts, oldest first."""
    return [read_error(each) for each in client.run("listed", "errors", id, 1000, writes=False)]


def logs(client: Client, id: bytes, limit: int) -> list[Line]:
    """The newest lines of a job's log, oldest first."""
    if limit <= 0:
        return []
    told = client.run("listed", "log", id, limit, writes=False)
    return [Line(*read_line(each)) for each in told]


def pack_line(at: int, attempt: int, text: str) -> bytes:
    """A line of a job's log."""
    return _line.pack(at, attempt) + text.encode()


def read_line(data: bytes) -> tuple[int, int, str]:
    """When, in which attempt, what."""
    at, attempt = _line.unpack_from(data)
    return int(at), attempt, data[_line.size :].decode()


def workers(told: dict[bytes, bytes], lease: int) -> list[Presence]:
    """Workers whose last heartbeat still counts, by id."""
    found = []
    for each in told.values():
        until, seen = _times.unpack_from(each)
        if until > lease:
            presence = _decode_presence(each[_times.size :])
            found.append(msgspec.structs.replace(presence, seen=int(seen)))
    return sorted(found, key=lambda presence: presence.id)
