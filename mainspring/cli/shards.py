"""The command shards: of a store made of several, what is where, and what is still to leave."""

from collections.abc import Iterator, Sequence

import click
from msgspec.structs import asdict

from mainspring.cli.options import Place, command
from mainspring.cli.tables import counted, table
from mainspring.errors import InvalidArguments
from mainspring.sharded import Sharded, ShardInfo
from mainspring.urls import without_password


@command
def shards(place: Place) -> int:
    """Tell of each shard its queues and what is left in them; whether a draining one is empty.

    Exit code 1 if a shard does not answer.
    """
    with place.app() as app:
        store = app.store
        if not isinstance(store, Sharded):
            raise InvalidArguments(
                f"expected a store made of shards, got {without_password(app.url)!r}"
            )
        infos = store.shards()
    told = [asdict(info) | {"url": without_password(info.url)} for info in infos]
    place.answer({"shards": told}, lambda: _page(infos))
    for info in infos:
        if info.away:
            click.echo(info.away, err=True)
    return 1 if any(info.away for info in infos) else 0


def _page(infos: Sequence[ShardInfo]) -> str:
    headers = ("shard", "state", "queue", "new jobs", "waiting", "running", "ended")
    rows = [row for info in infos for row in _rows(info)]
    return "\n".join([table(headers, rows), "", *(line for info in infos for line in _words(info))])


def _rows(info: ShardInfo) -> Iterator[tuple[object, ...]]:
    state = "away" if info.away else "draining" if info.draining else "taking"
    if not info.queues:
        yield info.name, state, None, None, None, None, None
    for name, queue in info.queues.items():
        new = "here" if queue.home else "elsewhere"
        yield info.name, state, name, new, queue.waiting, queue.running, queue.ended


def _words(info: ShardInfo) -> Iterator[str]:
    if info.away:
        return
    left = sum(queue.waiting + queue.running for queue in info.queues.values())
    ended = sum(queue.ended for queue in info.queues.values())
    if info.draining and left:
        yield f"Shard {info.name} is draining: {counted(left, 'job')} to go."
    elif info.draining and info.entries:
        yield (
            f"Shard {info.name} has no job that waits or runs, but entries of the key-value store:"
            " mainspring copy brings them to the others."
        )
    elif info.draining:
        kept = f"; {counted(ended, 'ended job')} would go with it" if ended else ""
        yield f"Shard {info.name} is empty: nothing waits or runs there{kept}."
    else:
        for name, queue in info.queues.items():
            if not queue.home and (left := queue.waiting + queue.running):
                to_go = counted(left, "job")
                yield f"Queue {name} has moved from shard {info.name}: {to_go} to go."
