"""The rarer parts of a job, kept in one column that is NULL for most jobs."""

from typing import Literal

import msgspec
from msgspec import Struct

from mainspring.job import Edge, NewJob


class Extra(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What of a `NewJob` has no column of its own."""

    delay: int = 0
    run_at: int | None = None
    expires: int | None = None
    key: str | None = None
    unique: str | None = None
    unique_for: int = 0
    on_duplicate: Literal["return", "replace", "error"] = "return"
    edges: tuple[Edge, ...] = ()
    tags: tuple[str, ...] = ()
    label: str | None = None


NOTHING = Extra()

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_extra = msgspec.msgpack.Decoder(Extra).decode
_decode_headers = msgspec.msgpack.Decoder(dict[str, str]).decode


def encode_extra(job: NewJob) -> bytes | None:  # type: ignore[type-arg]
    """The column for this job; equal jobs give equal bytes."""
    keyed = job.unique is not None  # without a key the rest says nothing
    extra = Extra(
        job.delay,
        job.run_at,
        job.expires,
        job.key,
        job.unique,
        job.unique_for if keyed else 0,
        job.on_duplicate if keyed else "return",
        job.edges,
        job.tags,
        job.label,
    )
    return None if extra == NOTHING else _encode(extra)


def decode_extra(column: bytes | None) -> Extra:
    """The parts again."""
    return NOTHING if column is None else _decode_extra(column)


def encode_headers(job: NewJob) -> bytes | None:  # type: ignore[type-arg]
    """The headers as msgpack; None without any."""
    return _encode(dict(job.headers)) if job.headers else None


def decode_headers(column: bytes | None) -> dict[str, str]:
    """The headers again."""
    return {} if column is None else _decode_headers(column)
