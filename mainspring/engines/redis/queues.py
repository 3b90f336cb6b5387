"""Queues and their settings."""

import struct

from mainspring.engines.common.queues import validate
from mainspring.engines.redis.client import Client
from mainspring.engines.redis.trouble import trouble
from mainspring.store import QueueInfo, Settings

_QUEUE = struct.Struct("<BBddddIdd")


def configure(client: Client, name: str, settings: Settings) -> QueueInfo:
    """Change what is given; all settings of the queue."""
    validate(settings)
    delays = settings.retry_delays
    wanted = (
        None if settings.paused is None else int(settings.paused),
        None if settings.by_hand is None else int(settings.by_hand),
        settings.aging,
        settings.keep_completed,
        settings.keep_cancelled,
        settings.keep_failed,
        settings.max_retries,
        settings.ack_deadline,
        settings.max_depth,
        None if delays is None else struct.pack(f"<c{len(delays)}d", b".", *delays),
    )
    row = client.run("configure", name, *("" if each is None else each for each in wanted))
    after = b"0"
    while settings.aging is not None:
        after = client.run("rescore", name, after)
        if after == b"0":
            break
    return _info(name, row)


def queues(client: Client) -> list[QueueInfo]:
    """All, by name."""
    with trouble(client.place):
        told = client.redis.hgetall(client.key("queue"))
    return [_info(name.decode(), row) for name, row in sorted(told.items())]


def _info(name: str, row: bytes) -> QueueInfo:
    paused, by_hand, aging, completed, cancelled, failed, *rest = _QUEUE.unpack_from(row)
    retries, lease, most = rest
    delays = row[_QUEUE.size :]
    return QueueInfo(
        name=name,
        paused=bool(paused),
        by_hand=bool(by_hand),
        aging=int(aging),
        keep_completed=int(completed),
        keep_cancelled=int(cancelled),
        keep_failed=int(failed),
        max_retries=retries,
        retry_delays=tuple(map(int, struct.unpack(f"<{len(delays) // 8}d", delays))),
        ack_deadline=int(lease),
        max_depth=int(most),
    )
