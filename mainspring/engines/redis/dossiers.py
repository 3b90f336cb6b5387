"""Dossiers: jobs as they stand, taken out for another store, or taken in from one."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, get_args
from uuid import UUID

import msgspec

from mainspring.dossier import Dossier, Standing, Wait
from mainspring.engines.redis.body import read_body, read_row, read_sections, words_of
from mainspring.engines.redis.client import Client
from mainspring.engines.redis.codes import (
    BLOCKED,
    CAREFUL,
    CODE,
    COMPLETED,
    KEPT,
    PENDING,
    STATE,
    SUSPECT,
    WORDS,
)
from mainspring.engines.redis.insert import heading
from mainspring.engines.redis.policies import Policies
from mainspring.engines.redis.read import pack_error, pack_line, read_error, read_line
from mainspring.errors import InvalidState, StoreDamaged, UniqueTaken, UnknownDependency
from mainspring.job import NewJob, State, decode_policy

_encode = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(dict[str, str]).decode
_number = struct.Struct("<d")

# --- out ----------------------------------------------------------------------------------------


def dump(client: Client, policies: Policies, after: int, limit: int) -> list[Dossier]:
    """Jobs with higher numbers than `after`, in their order."""
    told = client.run("dump", after, limit, writes=False)
    return [_readable(policies, each) for each in told]


def _readable(policies: Policies, told: Sequence[Any]) -> Dossier:
    try:
        return _dossier(policies, *told)
    except (ValueError, TypeError, struct.error) as error:
        raise StoreDamaged(
            f"job #{int(told[0])} cannot be read: {error}; delete it, or restore a backup"
        ) from error


def _dossier(
    policies: Policies,
    number: bytes,
    body: bytes,
    row: bytes | None,
    result: bytes | None,
    progress: bytes | None,
    moment: bytes | None,
    until: bytes | None,
    errors: Iterable[bytes],
    lines: Iterable[bytes],
    waits: Sequence[bytes],
) -> Dossier:
    job, created, lift = _asked(policies, body)
    place = _place(row, job, created, lift)
    if place["state"] is State.COMPLETED:
        place["keep"] = job.policy.keep
    anyway = {edge.parent: edge.run_anyway for edge in job.edges}
    for edge in job.edges:
        anyway[edge.parent] &= edge.run_anyway
    return Dossier(
        number=int(number),
        job=job,
        created=created,
        expires=None if moment is None else int(moment),
        unique_until=None if until is None else int(until),
        result=result,
        progress=None if progress is None else _progress(progress),
        errors=tuple(map(read_error, errors)),
        lines=tuple(map(read_line, lines)),
        waits=tuple(
            Wait(parent, anyway.get(parent, False), _standing(stands))
            for parent, stands in zip(waits[::2], waits[1::2], strict=True)
        ),
        **place,
    )


def _asked(policies: Policies, body: bytes) -> tuple[NewJob[Any], int, int]:
    """What was asked for, when, and its priority times the aging of then."""
    head = read_body(body)
    headers, extra, edges, payload = read_sections(body, head)
    job: NewJob[Any] = NewJob(
        id=head.id,
        task=head.task,
        payload=payload,
        queue=head.queue,
        priority=head.priority,
        delay=extra.delay,
        run_at=extra.run_at,
        expires=extra.expires,
        key=extra.key,
        unique=extra.unique,
        unique_for=extra.unique_for,
        on_duplicate=extra.on_duplicate,
        edges=edges,
        policy=decode_policy(policies.body(head.policy)),
        headers={} if headers is None else _decode_headers(headers),
        tags=extra.tags,
        label=extra.label,
    )
    lift = int(_number.unpack_from(body, len(body) - 8)[0]) if head.priority else 0
    return job, head.created, lift


def _place(row: bytes | None, job: NewJob[Any], created: int, lift: int) -> dict[str, Any]:
    """Where it stands."""
    if row is None:
        careful = job.policy.retry.max_retries == 0
        place = {"due": created, "score": created - lift, "lift": lift, "careful": careful}
        return place | {"state": State.PENDING}
    at = read_row(row)
    told: dict[str, Any] = {"state": State(STATE[at.state]), "lift": int(at.lift)}
    told |= {"attempt": at.attempt, "claims": at.claims}
    words = words_of(row) if at.bits & WORDS else None
    if at.state >= COMPLETED:
        return told | {"finished": int(at.at), "took": int(at.score), "reason": words}
    if at.state == BLOCKED:
        return told | {"due": int(at.at)}
    due = at.score + at.lift if at.state == PENDING else at.at
    return told | {
        "due": int(due),
        "score": int(at.score),
        "losses": at.losses,
        "careful": bool(at.bits & CAREFUL),
        "suspect": bool(at.bits & SUSPECT),
        "reason": words,
    }


def _progress(data: bytes) -> tuple[float, str]:
    return _number.unpack_from(data)[0], data[_number.size :].decode()


def _standing(word: bytes) -> Standing:
    [standing] = [each for each in get_args(Standing) if each == word.decode()]
    known: Standing = standing
    return known


# --- in -----------------------------------------------------------------------------------------


def restore(client: Client, dossiers: Sequence[Dossier]) -> int:
    """Take in the jobs that are not there yet, as they stood, and what they wait for; how many."""
    if not dossiers:
        return 0
    if running := [each for each in dossiers if each.state is State.RUNNING]:
        raise InvalidState(f"job {running[0].job.uuid} is running: its worker would lose it")
    blobs: list[bytes] = []
    head = heading([each.job for each in dossiers], blobs)
    jobs = [part for each, blob in zip(dossiers, blobs, strict=True) for part in _told(each, blob)]
    kind, *answers = client.run("restore", *head, *jobs)
    if kind == b"new":
        return int(answers[0])
    name = UUID(bytes=answers[0])
    if kind == b"unknown":
        raise UnknownDependency(f"job {name} waits for {UUID(bytes=answers[1])}, which is not here")
    raise UniqueTaken(
        f"the unique key of job {name} is held here by job {UUID(bytes=answers[1])};"
        " nothing was taken in",
        answers[1],
    )


def _told(each: Dossier, blob: bytes) -> list[bytes]:
    """As restore.lua reads it."""
    percent, text = each.progress or (0.0, "")
    return [
        _encode(_said(each)),
        blob,
        each.result or b"",
        _number.pack(percent) + text.encode(),
        *map(pack_error, each.errors),
        *(pack_line(*line) for line in each.lines),
        *(wait.parent for wait in each.waits),
    ]


def _said(each: Dossier) -> dict[str, Any]:
    final = each.state.final
    bits = each.careful * CAREFUL | each.suspect * SUSPECT
    if not final and each.state is not State.BLOCKED and each.score != each.due - each.lift:
        bits |= KEPT
    return {
        "created": each.created,
        "state": CODE[each.state],
        "attempt": each.attempt,
        "claims": each.claims,
        "losses": each.losses,
        "bits": bits,
        "score": each.took if final else each.score,
        "lift": each.lift,
        "at": each.finished if final else each.due,
        "expires": each.expires or False,
        "till": False if each.unique_until is None else each.unique_until,
        "reason": each.reason or False,
        "result": each.result is not None,
        "progress": each.progress is not None,
        "errors": len(each.errors),
        "lines": len(each.lines),
        "waits": [part for wait in each.waits for part in (wait.standing, wait.run_anyway)],
    }
