"""What a job is and where it stands, as bytes on the server.

A body is the time of insertion, then what the caller gave (`pack_job`), then, if it has a priority,
that times the queue's aging. See scripts/shared.lua for the places of all.
"""

import hashlib
import struct
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from mainspring.engines.redis.codes import (
    EDGES,
    EXPIRES,
    EXTRA,
    HEADERS,
    KEEPS,
    MARKED,
    SINGLE,
    UNIQUE,
)
from mainspring.job import NewJob, Policy, encode_policy

HEAD = struct.Struct("<dBb10s16sHH")
ROW = struct.Struct("<BBBBHII8s8sddd")
HEAD_SIZE, NAMES_AT = HEAD.size, 36
"""The names of queue and task, with their sizes before them, stand from `NAMES_AT` to
`HEAD_SIZE` and both sizes."""

_SIZE = struct.Struct("<I")
_SIZES = struct.Struct("<HH")
_TOKEN = struct.Struct("<q")
_EDGE = 17

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Extra(Struct, frozen=True, array_like=True):
    """The rarer parts of a `NewJob`. The scripts read them by their places."""

    delay: int = 0
    run_at: int | None = None
    expires: int | None = None
    key: str | None = None
    unique: str | None = None
    unique_for: int = 0
    on_duplicate: str = "return"
    tags: tuple[str, ...] = ()
    label: str | None = None
    keep: int | None = None


NOTHING = Extra()
_decode_extra = msgspec.msgpack.Decoder(Extra).decode


class Row(NamedTuple):
    """Where a job stands. `score` is also the open edges of a blocked job and the run time of an
    ended one; `at` is when it falls due, began or ended."""

    state: int
    did: int
    flags: int
    bits: int
    losses: int
    attempt: int
    claims: int
    last: bytes
    token: bytes
    score: float
    lift: float
    at: float


class Body(NamedTuple):
    """A body, read. `sections` is where the headers or what comes after them begins."""

    created: int
    flags: int
    priority: int
    policy: bytes
    id: bytes
    queue: str
    task: str
    sections: int


def pack_number(number: int) -> bytes:
    """A number as the server has it, so that the order of bytes is the order of numbers."""
    return b"%014d" % number


def pack_token(token: int) -> bytes:
    """A grant's token."""
    return _TOKEN.pack(token)


def unpack_token(data: bytes) -> int:
    """The token again."""
    token: int = _TOKEN.unpack(data)[0]
    return token


@lru_cache(1024)
def policy_id(policy: Policy) -> bytes:
    """Ten bytes by which a policy is known: how many retries it allows, and a digest."""
    digest = hashlib.blake2b(encode_policy(policy), digest_size=7).digest()
    return policy.retry.max_retries.to_bytes(3, "little") + digest


@lru_cache(4096)
def _packed_names(queue: str, task: str) -> bytes:
    names = queue.encode(), task.encode()
    return _SIZES.pack(*map(len, names)) + b"".join(names)


@lru_cache(4096)
def _front(flags: int, priority: int, policy: bytes) -> bytes:
    return struct.pack("<Bb10s", flags, priority, policy)


def pack_job(job: NewJob[Any], policy: bytes) -> bytes:
    """What the caller gave, as one value; equal jobs give equal bytes."""
    flags = SINGLE if job.policy.retry.max_retries == 0 else 0
    packed = _packed_names(job.queue, job.task)
    if not job.headers and not _is_rare(job):
        return b"".join((_front(flags, job.priority, policy), job.id, packed, job.payload))
    sections = []
    if job.headers:
        flags |= HEADERS
        headers = _encode(dict(job.headers))
        sections += [_SIZE.pack(len(headers)), headers]
    if _is_rare(job):
        flags |= EXTRA | _rare_flags(job)
        extra = _encode(_extra(job))
        sections += [_SIZE.pack(len(extra)), extra]
    if job.edges:
        sections.append(_SIZE.pack(len(job.edges)))
        sections += [edge.parent + bytes((edge.run_anyway,)) for edge in job.edges]
    front = _front(flags, job.priority, policy)
    return b"".join((front, job.id, packed, *sections, job.payload))


def _is_rare(job: NewJob[Any]) -> bool:
    return bool(
        job.delay
        or job.run_at is not None
        or job.unique is not None
        or job.expires is not None
        or job.edges
        or job.tags
        or job.key is not None
        or job.label is not None
        or job.policy.keep is not None
    )


def _rare_flags(job: NewJob[Any]) -> int:
    flags = UNIQUE if job.unique is not None else 0
    if job.expires is not None:
        flags |= EXPIRES
    if job.tags or job.key is not None:
        flags |= MARKED
    if job.edges:
        flags |= EDGES
    if job.policy.keep is not None:
        flags |= KEEPS
    return flags


def _extra(job: NewJob[Any]) -> Extra:
    keyed = job.unique is not None  # without a key the rest says nothing
    return Extra(
        job.delay,
        job.run_at,
        job.expires,
        job.key,
        job.unique,
        job.unique_for if keyed else 0,
        job.on_duplicate if keyed else "return",
        job.tags,
        job.label,
        job.policy.keep,
    )


def read_body(body: bytes) -> Body:
    """The parts of a body that every job has."""
    created, flags, priority, policy, id, queue_size, task_size = HEAD.unpack_from(body)
    at = HEAD.size + queue_size + task_size
    queue, task = names(body[NAMES_AT:at])
    return Body(int(created), flags, priority, policy, id, queue, task, at)


@lru_cache(4096)
def names(data: bytes) -> tuple[str, str]:
    """The names of queue and task, from their part of a body."""
    queue_size, _ = _SIZES.unpack_from(data)
    return data[4 : 4 + queue_size].decode(), data[4 + queue_size :].decode()


class Sections(NamedTuple):
    """What stands behind the names of a body."""

    headers: bytes | None
    extra: Extra
    parents: tuple[bytes, ...]
    payload: bytes


def read_sections(body: bytes, read: Body) -> Sections:
    """The rest of a body."""
    at, end = read.sections, len(body) - (8 if read.priority else 0)
    if not read.flags & (HEADERS | EXTRA):
        return Sections(None, NOTHING, (), body[at:end])
    headers, extra, parents = None, NOTHING, []
    if read.flags & HEADERS:
        headers, at = _sized(body, at)
    if read.flags & EXTRA:
        packed, at = _sized(body, at)
        extra = _decode_extra(packed)
    if read.flags & EDGES:
        (edges,) = _SIZE.unpack_from(body, at)
        at += _SIZE.size
        for _ in range(edges):
            parents.append(body[at : at + _EDGE - 1])
            at += _EDGE
    return Sections(headers, extra, tuple(parents), body[at:end])


def _sized(body: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _SIZE.unpack_from(body, at)
    at += _SIZE.size
    return body[at : at + size], at + size


def read_row(data: bytes) -> Row:
    """Where a job stands; what comes behind the row are words."""
    return Row(*ROW.unpack_from(data))


def words_of(data: bytes) -> str:
    """The words behind a row."""
    return data[ROW.size :].decode()
