"""Leases: renewing grants, telling workers what they lost, taking over what nobody renews."""

from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.claim import grant, held
from mainspring.engines.sqlite.settle import settle
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.job import Claimed, Now, State, Transition
from mainspring.presence import awaited
from mainspring.store import Grant, News, Note, Presence, Pulse, Wanted

SQL = sections(__file__)

LOG_LINES = 1000
LOG_SIZE = 256 * 1024
"""The most lines, and characters in them, that are kept of one job's log: the newest."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Presence).decode
_decode_wanted = msgspec.json.Decoder(Wanted).decode


def heartbeat(
    step: Step, presence: Presence, tokens: Sequence[int], lease: int, notes: Sequence[Note]
) -> Pulse:
    """Renew, note, and tell."""
    wanted = _present(step, presence, lease)
    listed = as_json(tokens)
    lost: list[int] = []
    cancel: list[int] = []
    if tokens:
        step.run(SQL["renew"], (step.lease + lease, listed))
        lost = [token for (token,) in step.rows(SQL["lost"], (listed,))]
        cancel = [number for (number,) in step.rows(SQL["cancels"], (listed,))]
        step.after(lambda: step.handed.drop(lost))
    if notes:
        _note(step, notes)
    paused = [name for (name,) in step.rows(SQL["paused"])]
    return Pulse(lost=tuple(lost), cancel=tuple(cancel), paused=tuple(paused), wanted=wanted)


def instruct(step: Step, workers: Sequence[str], wanted: Wanted) -> list[str]:
    """Want this of these workers; those that are known."""
    known = {id for (id,) in step.rows(SQL["instruct"], (as_json(wanted), as_json(workers)))}
    return [id for id in dict.fromkeys(workers) if id in known]


def _present(step: Step, presence: Presence, lease: int) -> Wanted | None:
    """Write that the worker is there; what is wanted of it."""
    row = step.row(SQL["presence"], (presence.id,))
    before = None if row is None else _decode(row[0])
    if presence.state == "stopped" or (before and before.started != presence.started):
        step.run(SQL["absent"], (presence.id,))
    if presence.state == "stopped":
        return None
    told = msgspec.structs.replace(presence, seen=step.wall)
    (wanted,) = step.row(SQL["present"], (presence.id, step.lease + lease, _encode(told)))
    new = awaited(presence, before, step.wall)
    if new and step.run(SQL["unpark"], (step.wall, as_json(new))).rowcount:
        step.news |= News.WORK
    return None if wanted is None else _decode_wanted(wanted)


def _note(step: Step, notes: Sequence[Note]) -> None:
    """Keep progress and log lines of jobs that are held under the token they name."""
    numbers = as_json(list({note.number for note in notes}))
    held_now = {row[0]: row[1:] for row in step.rows(SQL["holders"], (numbers,))}
    lines: dict[int, list[Note]] = {}
    for note in notes:
        token, _ = held_now.get(note.number, (None, 0))
        if token != note.token:
            continue
        if note.percent is None:
            lines.setdefault(note.number, []).append(note)
        else:
            step.run(SQL["progress"], (note.number, note.percent, note.text))
    for number, new in lines.items():
        _write_log(step, number, held_now[number][1], new)


def _write_log(step: Step, number: int, attempt: int, notes: Sequence[Note]) -> None:
    """Add lines to a log, unless they are its last: then the answer to the same call was lost."""
    latest = [(note.at, note.text) for note in reversed(notes)]
    if list(map(tuple, step.rows(SQL["last_lines"], (number, len(notes))))) == latest:
        return
    line, size = step.row(SQL["last_line"], (number,)) or (0, 0)
    rows = []
    for note in notes:
        line += 1
        size += len(note.text)
        rows.append((number, line, note.at, attempt, size, note.text))
    step.many(SQL["line"], rows)
    step.run(SQL["old_lines"], (number, line - LOG_LINES, size - LOG_SIZE))


def anything_to_reclaim(connection: Connection, wish: Grant, now: Now) -> bool:
    """Whether a takeover is worth a transaction."""
    ((anything,),) = connection.execute(SQL["reclaimable"], (now.lease, wish.token)).fetchall()
    return bool(anything)


def reclaim(step: Step, wish: Grant, limit: int) -> list[Claimed]:
    """Put expired holdings under a new grant. Repeated, it tells what that still holds."""
    if step.row(SQL["known"], (wish.token,)) is not None:
        return held(step.connection, [wish.token])
    taken: list[int] = []
    for token, low, high in step.rows(SQL["expired"], (step.lease,)):
        if len(taken) >= limit:
            break
        numbers = [n for (n,) in step.rows(SQL["held_by"], (low, high, token, limit - len(taken)))]
        step.run(SQL["take_over"], (wish.token, as_json(numbers)))
        step.run(SQL["lose"], (len(numbers), token))
        taken += numbers
    if not taken:
        return []
    grant(step, wish, taken)
    jobs = held(step.connection, [wish.token])
    if len(jobs) < len(taken):
        _put_aside(step, wish, set(taken) - {job.number for job in jobs})
    return jobs


def _put_aside(step: Step, wish: Grant, numbers: set[int]) -> None:
    """End jobs that other software damaged while they ran."""
    words = "damaged: what is stored of it cannot be read"
    failed = [
        Transition(number, wish.token, State.FAILED, reason=words) for number in sorted(numbers)
    ]
    settle(step, failed)
