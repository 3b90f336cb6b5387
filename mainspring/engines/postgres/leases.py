"""Leases: renewing grants, telling workers what they lost, taking over what nobody renews."""

from collections.abc import Sequence

import msgspec

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import bigints, plain, texts
from mainspring.engines.postgres.claim import grant, held
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Step
from mainspring.job import Claimed, Now
from mainspring.presence import awaited
from mainspring.store import Grant, News, Note, Presence, Pulse, Wanted

SQL = sections(__file__)

LOG_LINES = 1000
LOG_SIZE = 256 * 1024
"""The most lines, and characters in them, that are kept of one job's log: the newest."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Presence).decode
_encode_wanted = msgspec.json.Encoder().encode
_decode_wanted = msgspec.json.Decoder(Wanted).decode


def heartbeat(
    step: Step, presence: Presence, tokens: Sequence[int], lease: int, notes: Sequence[Note]
) -> Pulse:
    """Renew, note, and tell."""
    wanted = _present(step, presence, lease)
    listed = bigints(tokens)
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
    asked = _encode_wanted(wanted).decode(), texts(workers)
    known = {id for (id,) in step.rows(SQL["instruct"], asked)}
    return [id for id in dict.fromkeys(workers) if plain(id) in known]


def _present(step: Step, presence: Presence, lease: int) -> Wanted | None:
    """Write that the worker is there; what is wanted of it."""
    id = plain(presence.id)
    row = step.row(SQL["presence"], (id,))
    before = None if row is None else _decode(row[0])
    if presence.state == "stopped" or (before and before.started != presence.started):
        step.run(SQL["absent"], (id,))
    if presence.state == "stopped":
        return None
    told = msgspec.structs.replace(presence, seen=step.wall)
    (wanted,) = step.row(SQL["present"], (id, step.lease + lease, _encode(told)))
    new = awaited(presence, before, step.wall)
    if new and step.run(SQL["unpark"], {"wall": step.wall, "tasks": texts(new)}):
        step.news |= News.WORK
    return None if wanted is None else _decode_wanted(wanted)


def _note(step: Step, notes: Sequence[Note]) -> None:
    """Keep progress and log lines of jobs that are held under the token they name."""
    numbers = bigints({note.number for note in notes})
    held_now = {row[0]: row[1:] for row in step.rows(SQL["holders"], (numbers,))}
    lines: dict[int, list[Note]] = {}
    for note in notes:
        token, _ = held_now.get(note.number, (None, 0))
        if token != note.token:
            continue
        if note.percent is None:
            lines.setdefault(note.number, []).append(note)
        else:
            step.run(SQL["progress"], (note.number, note.percent, plain(note.text)))
    for number, new in lines.items():
        _write_log(step, number, held_now[number][1], new)


def _write_log(step: Step, number: int, attempt: int, notes: Sequence[Note]) -> None:
    """Add lines to a log, unless they are its last: then the answer to the same call was lost."""
    latest = [(note.at, plain(note.text)) for note in reversed(notes)]
    if list(map(tuple, step.rows(SQL["last_lines"], (number, len(notes))))) == latest:
        return
    line, size = step.row(SQL["last_line"], (number,)) or (0, 0)
    rows = []
    for note in notes:
        line += 1
        size += len(note.text)
        rows.append((number, line, note.at, attempt, size, note.text))
    *columns, said = zip(*rows, strict=True)
    step.run(SQL["line"], (*map(bigints, columns), texts(said)))
    step.run(SQL["old_lines"], (number, line - LOG_LINES, size - LOG_SIZE))


def anything_to_reclaim(reader: Reader, wish: Grant, now: Now) -> bool:
    """Whether a takeover is worth a transaction."""
    ((anything,),) = reader.rows(SQL["reclaimable"], (now.lease, wish.token))
    return bool(anything)


def reclaim(step: Step, wish: Grant, limit: int) -> list[Claimed]:
    """Put expired holdings under a new grant. Repeated, it tells what that still holds."""
    if step.row(SQL["known"], (wish.token,)) is not None:
        return held(step, [wish.token])
    taken: list[int] = []
    for token, low, high in step.rows(SQL["expired"], (step.lease,)):
        if len(taken) >= limit:
            break
        wanted = (low, high, token, limit - len(taken))
        numbers = [n for (n,) in step.rows(SQL["held_by"], wanted)]
        step.run(SQL["take_over"], (wish.token, bigints(numbers)))
        step.run(SQL["lose"], (len(numbers), token))
        taken += numbers
    if not taken:
        return []
    grant(step, wish, taken)
    return held(step, [wish.token])
