"""Claim: what a wish says to the server, and the claimed jobs it answers with."""

from collections.abc import Sequence
from typing import Any

import msgspec

from mainspring.engines.redis.body import ROW, read_body, read_sections
from mainspring.engines.redis.policies import Policies
from mainspring.job import Claimed
from mainspring.store import Claim

_encode = msgspec.msgpack.Encoder().encode


def pack_wish(wish: Claim) -> bytes:
    """All of a wish but its token."""
    queues = None if wish.queues is None else list(wish.queues)
    grant = wish.grant
    return _encode(
        (
            grant.worker,
            grant.lease,
            wish.limit,
            wish.slots,
            wish.alone,
            queues,
            wish.tasks,
            wish.reach,
        )
    )


def claimed(policies: Policies, token: int, told: Sequence[Any]) -> list[Claimed]:
    """Jobs from the numbers, rows and bodies that a script tells."""
    numbers, rows, bodies = told
    jobs = []
    row_of = ROW.unpack_from
    for number, row, body in zip(numbers, rows, bodies, strict=True):
        head = read_body(body)
        headers, _, _, payload = read_sections(body, head)
        _, _, _, _, losses, attempt, claims, _, _, score, lift, _ = row_of(row)
        jobs.append(
            Claimed(
                int(number),
                token,
                head.id,
                head.queue,
                head.task,
                payload,
                attempt,
                claims,
                losses,
                head.created,
                int(score + lift),
                policies.body(head.policy),
                headers,
            )
        )
    return jobs
