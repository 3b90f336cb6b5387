"""Commands about workers: who there is and how they do, drain, scale, reload."""

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from mainspring.cli.figures import of_worker
from mainspring.cli.options import Place, command, host_option
from mainspring.cli.show import block, facts
from mainspring.cli.tables import duration, fitted, size, table
from mainspring.durations import SECOND
from mainspring.errors import UnknownWorker
from mainspring.store import Member, Presence


@command
@click.argument("name", required=False)
def workers(place: Place, name: str | None) -> None:
    """List the workers; or tell all about NAME, with its children and what runs longest there."""
    with place.app() as app:
        found = app.workers()
    now = time.time_ns() // 1000
    if name is None:
        place.answer([_as_json(worker, now) for worker in found], lambda: _listed(found, now))
        return
    chosen = next((worker for worker in found if worker.id == name), None)
    if chosen is None:
        raise UnknownWorker(f"no worker {name!r} was heard of lately")
    place.answer(_as_json(chosen, now), lambda: _page(chosen, now))


def _as_json(worker: Presence, now: int) -> dict[str, Any]:
    """All that a worker tells, for machines; times in seconds, memory in bytes."""
    return of_worker(worker, now) | {
        "running_seconds": max(0, now - worker.started) / SECOND,
        "tasks": worker.tasks,
        "members": msgspec.to_builtins(worker.members),
        "slowest": msgspec.to_builtins(worker.slowest),
    }


def _listed(found: Sequence[Presence], now: int) -> str:
    headers = (
        *(
            "worker",
            "host",
            "queues",
            "state",
            "load",
            "busy",
            "slots",
            "processed",
            "failed",
            "seen",
        ),
        "last job",
    )
    rows = [
        (
            *(worker.id, worker.host, ", ".join(worker.queues) or "all", worker.state),
            *(_load(worker), worker.busy, worker.slots),
            *(worker.processed, worker.failed, _seen(worker, now), worker.last),
        )
        for worker in found
    ]
    if not sys.stdout.isatty():
        return table(headers, rows)
    return fitted(
        headers, rows, shutil.get_terminal_size().columns, ("host", "failed", "seen", "queues")
    )


def _page(worker: Presence, now: int) -> str:
    told = {
        "Worker": worker.id,
        "Host": f"{worker.host}, process {worker.pid}",
        "State": f"{worker.state}, begun {duration(max(0, now - worker.started))} ago",
        "Seen": _seen(worker, now),
        "Queues": ", ".join(worker.queues) or "all",
        "Tasks": ", ".join(worker.tasks),
        "Load": f"{_load(worker)}, {worker.busy:,} of {worker.slots:,} slots busy",
        "Processed": f"{worker.processed:,}, {worker.failed:,} failed",
        "Last job": worker.last,
        "Current": worker.current,
    }
    children = table(
        ("pid", "kind", "state", "busy", "slots", "processed", "memory", "age"),
        [_row(member) for member in worker.members],
    )
    blocks = [facts(told), block("Children", children if worker.members else "")]
    if (slowest := worker.slowest) is not None:
        head = f"{slowest.task} #{slowest.number}, for {duration(slowest.seconds * SECOND)}"
        blocks.append(block("Runs longest", f"{head}\n{slowest.traceback}".strip()))
    return "\n\n".join(filter(None, blocks))


def _row(member: Member) -> tuple[object, ...]:
    return (
        *(str(member.pid), member.kind, member.state, member.busy, member.slots, member.processed),
        *(size(member.memory) if member.memory else "", duration(member.age * SECOND)),
    )


def _load(worker: Presence) -> str:
    return f"{100 * worker.utilisation:.0f}%"


def _seen(worker: Presence, now: int) -> str:
    return f"{max(0, now - worker.seen) / SECOND:.0f}s ago"


@command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@host_option
def drain(place: Place, names: tuple[str, ...], host: str | None) -> None:
    """Have workers finish what runs, give back the rest, and end.

    Which: those of these NAMEs, or all on a host. They hear it within a third of their lease.
    """
    with place.app() as app:
        told = app.drain_workers(*names, host=host)
    place.answer({"draining": told}, f"draining: {', '.join(told)}")


def bounds(value: str) -> tuple[int, int]:
    """An argument that is a number of processes, or the least and the most: "4", "2:8"."""
    least, colon, most = value.partition(":")
    if least.isdecimal() and (most.isdecimal() or not colon):
        return int(least), int(most or least)
    raise click.BadParameter(f'expected processes like "4", or "2:8", got {value!r}')


@command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.argument("processes", metavar="MIN[:MAX]", type=bounds)
@host_option
def scale(
    place: Place, names: tuple[str, ...], processes: tuple[int, int], host: str | None
) -> None:
    """Have workers run at least MIN and at most MAX processes.

    Which: those of these NAMEs, or all on a host.
    """
    least, most = processes
    with place.app() as app:
        told = app.scale_workers(*names, least=least, most=most, host=host)
    answer = {"scaled": told, "least": least, "most": most}
    count = f"{least}" if least == most else f"{least} to {most}"
    place.answer(answer, f"{count} processes: {', '.join(told)}")


@command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@host_option
def reload(place: Place, names: tuple[str, ...], host: str | None) -> None:
    """Have workers replace their processes, one after the other, by new ones with the code as it is
    now.

    Which: those of these NAMEs, or all on a host; without either, all.
    """
    with place.app() as app:
        told = app.reload_workers(*names, host=host)
    place.answer({"reloading": told}, f"reloading: {', '.join(told) or 'no worker is there'}")
