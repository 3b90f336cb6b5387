"""Claim: what a wish says to the server, and the claimed jobs it answers with."""

from collections.abc import Sequence
from typing import Any

import msgspec

from mainspring.engines.redis.body import (
    HEAD,
    HEAD_SIZE,
    NAMES_AT,
    ROW,
    names,
    read_body,
    read_sections,
)
from mainspring.engines.redis.codes import EXTRA, HEADERS
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
            wish.priorities,
        )
    )


def claimed(policies: Policies, token: int, told: Sequence[Any]) -> list[Claimed]:
    """Jobs from the numbers, rows and bodies that a script tells."""
    numbers, rows, bodies = told
    jobs = []
    # One pass without a call that can be spared: this is what a claim costs.
    row_of, head_of, names_of, policy_of = ROW.unpack_from, HEAD.unpack_from, names, policies.body
    for number, row, body in zip(numbers, rows, bodies, strict=True):
        created, flags, priority, policy, id, queue_size, task_size = head_of(body)
        _, _, _, _, losses, attempt, claims, _, _, score, lift, _ = row_of(row)
        at = HEAD_SIZE + queue_size + task_size
        queue, task = names_of(body[NAMES_AT:at])
        if priority or flags & (HEADERS | EXTRA):
            headers, _, _, payload = read_sections(body, read_body(body))
        else:
            headers, payload = None, body[at:]
        jobs.append(
            Claimed(
                int(number),
                token,
                id,
                queue,
                task,
                payload,
                attempt,
                claims,
                losses,
                int(created),
                int(score + lift),
                policy_of(policy),
                headers,
            )
        )
    return jobs
