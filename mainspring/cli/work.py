"""The command worker: runs jobs until it is told to stop."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from mainspring.cli.options import Place, add_here, blame, command, refuse_unreachable
from mainspring.cli.tables import counted, duration, one_line
from mainspring.errors import ConfigError, InvalidArguments
from mainspring.events import (
    AttemptFailed,
    Bus,
    ChildDied,
    LeasesLost,
    StoreBack,
    StoreLost,
    UnknownTasks,
    WorkerStarted,
    WorkerSteered,
    WorkerStopped,
    WorkerStopping,
)
from mainspring.job import State
from mainspring.settings import Configuration
from mainspring.urls import without_password

if TYPE_CHECKING:
    from mainspring.worker.pools import Pool
    from mainspring.worker.worker import Worker

GRACE_RAN_OUT = 75
PROCESSES, THREADS = 1, 8


@command
@click.option(
    "--concurrency",
    "--workers",
    "concurrency",
    metavar="N",
    help="Functions on threads, and coroutines, at once in each process.",
)
@click.option("--threads", metavar="N", help="Functions on threads at once, in each process.")
@click.option("--tasks", metavar="N", help="Coroutines at once, in each process.")
@click.option(
    "--processes",
    "--min",
    "processes",
    metavar="N|auto",
    help="Processes that run jobs; 1 by default, auto: one for each processor.",
)
@click.option(
    "--max-processes",
    "--max",
    "max_processes",
    metavar="N|auto",
    help="As many of them at most, while much waits.",
)
@click.option(
    "--process-slots",
    metavar="N|auto",
    help="Processes for tasks that want one of their own; by default one for each processor.",
)
@click.option(
    "--pools",
    "--pool",
    "pools",
    multiple=True,
    metavar="QUEUES=N[:MAX]",
    help='Processes of their own for queues, such as "mail=2:8", for all, "*=4", or for priorities,'
    ' "*@5=1" (5 and higher). More than one may be given.',
)
@click.option("--max-jobs", metavar="N", help="Replace a process after so many jobs.")
@click.option("--max-age", metavar="TIME", help="Replace a process after so long.")
@click.option("--max-memory", metavar="SIZE", help='Replace one that takes so much, as "1GB".')
@click.option("--queues", metavar="A,B", help="Which, in this order; all by default.")
@click.option("--lease", metavar="TIME", help="How long jobs outlive a dead worker's silence.")
@click.option("--grace", metavar="TIME", help="How long jobs may go on after the first signal.")
@click.option("--health", metavar="PORT|HOST:PORT|FILE", help="Where probes ask how it is.")
@click.option("--reload", is_flag=True, help="Load the app anew when its code changes.")
@click.option("--quiet", is_flag=True, help="Do not tell of each attempt that failed.")
def worker(
    place: Place, quiet: bool, reload: bool, pools: tuple[str, ...], **arguments: str | None
) -> int:
    """Run jobs until SIGTERM or Ctrl-C; twice: until now.

    Needs --app. This process does the queue's work and imports none of it; the processes that run
    the jobs do.
    """
    from mainspring.worker.pools import Pools
    from mainspring.worker.worker import Worker

    settings = place.store_settings(pools=pools or None, **arguments)
    if settings.app is None:
        raise InvalidArguments('--app: expected "module:object", such as "shop.jobs:app", got none')
    teams = _teams(settings)
    with blame("app", settings):
        _find(settings.app)
    if settings.url:
        refuse_unreachable(settings.url, new=True, said=True)
    threads = settings.threads or settings.concurrency or THREADS
    with blame("app", settings), blame("url", settings):
        where = {"url": settings.url, "api_key": settings.api_key, "app": settings.app}
        common = _options(settings) | where
        running = Pools(
            [Worker(events=_told(each, threads, quiet), **common, **_own(each)) for each in teams]
        )
        with attended(running.workers, settings, running.reload if reload else None):
            running.run()
    if place.as_json:
        names = [each.name for each in running.workers]
        place.answer({"workers": names, "handed_back": running.handed_back}, "")
    return GRACE_RAN_OUT if running.cut_short else 0


def _teams(settings: Configuration) -> "list[Pool]":
    """The pools that are wanted: one, unless more are named."""
    from mainspring.worker.pools import Pool

    if not settings.pools:
        least = settings.processes or PROCESSES
        if settings.max_processes and settings.max_processes < least:
            raise InvalidArguments(
                f"{settings.origins['max_processes']}: expected at least {least}, as many as there"
                f" are to begin with, got {settings.max_processes}"
            )
        return [Pool(settings.queues, None, least, settings.max_processes or least)]
    for other in ("queues", "processes", "max_processes"):
        if getattr(settings, other):
            raise InvalidArguments(
                f"expected {settings.origins['pools']} or {settings.origins[other]}, got both:"
                " a pool says which queues it takes and how many processes it has"
            )
    with blame("pools", settings):
        return [Pool.read(text) for text in settings.pools]


def _options(settings: Configuration) -> dict[str, Any]:
    """What all pools have in common, as far as it was said."""
    chosen: dict[str, Any] = {
        "threads": settings.threads or settings.concurrency,
        "tasks": settings.tasks or settings.concurrency,
        "process_slots": settings.process_slots,
        "lease": settings.lease,
        "grace": settings.grace,
        "max_jobs": settings.max_jobs,
        "max_age": settings.max_age,
        "max_memory": settings.max_memory,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _own(pool: "Pool") -> dict[str, Any]:
    """What a pool has for itself."""
    return {
        "queues": pool.queues or None,
        "priorities": pool.priorities,
        "processes": pool.least,
        "max_processes": pool.most if pool.most > pool.least else None,
    }


def _told(pool: "Pool", threads: int, quiet: bool) -> Bus:
    """What is said of a pool on stderr."""
    queues = f"queues {', '.join(pool.queues)}" if pool.queues else "all queues"
    if pool.priorities is not None:
        queues += " with priorities {} to {}".format(*pool.priorities)
    processes = f"{pool.least}" if pool.most == pool.least else f"{pool.least} to {pool.most}"
    return told_on_stderr(f"{queues}, {processes} x {threads}", failures=not quiet)


@contextmanager
def attended(
    workers: Sequence["Worker"], settings: Configuration, reload: Callable[[], None] | None
) -> Iterator[None]:
    """For the block, tell of these workers whoever is to know: probes, the service manager; and
    call `reload` when their code changes."""
    from mainspring.worker import watch
    from mainspring.worker.probes import health, systemd

    with ExitStack() as stack:
        if settings.health:
            with blame("health", settings):
                where = health.target(settings.health)
                told = stack.enter_context(health.told_at(where, workers))
            click.echo(f"health: {told}", err=True)
        if reload is not None:
            # A change within the second of the last one would be hidden by what was compiled then.
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            say = partial(click.echo, err=True)
            stack.enter_context(watch.watched(watch.code_of(settings.app or ""), reload, say))
        stack.enter_context(systemd.told(workers))
        yield


def _failure(event: AttemptFailed) -> str:
    job, after = event.job, event.transition
    error = f"{after.error.type}: {after.error.message}" if after.error else after.reason
    told = one_line(f"{job.task} #{job.number} failed at attempt {job.attempt}: {error}", 200)
    if after.to == State.FAILED:
        return f"{told}; dead letter ({after.reason})"
    return f"{told}; again in {duration(after.delay)}"


def _find(app: str) -> None:
    """Refuse an app whose package is not there, without running any of its code here."""
    add_here()
    place = app.rpartition(":")[0]
    package = place.partition(".")[0]
    if not place.endswith(".py") and not (package and find_spec(package)):
        raise ConfigError(f"app: expected a module that can be imported, found no {package!r}")


def told_on_stderr(what: str, *, failures: bool = False) -> Bus:
    """Events that say on stderr what happens to the worker, which takes `what`; of its jobs at most
    the attempts that failed are told."""
    bus = Bus()

    def started(event: WorkerStarted) -> str:
        return f"takes jobs from {without_password(event.url)}, {what}"

    bus.on(WorkerStarted, partial(_say, started))
    for kind, words in _WORDS.items():
        bus.on(kind, partial(_say, words))
    if failures:
        bus.on(AttemptFailed, partial(_say, _failure))
    return bus


def _say(words: Callable[[Any], str], event: Any) -> None:
    over_progress = "\r\x1b[K" if sys.stderr.isatty() else ""
    click.echo(f"{over_progress}{event.worker}: {words(event)}", err=True)


_WORDS: Mapping[type[Struct], Callable[[Any], str]] = {
    WorkerSteered: lambda event: event.what,
    WorkerStopping: lambda event: (
        f"stopping: what runs has up to {event.grace:g} s; once more to give it back at once"
    ),
    WorkerStopped: lambda event: f"stopped; {counted(event.handed_back, 'job')} given back",
    ChildDied: lambda event: (
        f"process {event.pid} died ({event.status}) with {counted(len(event.lost), 'job')} begun"
    ),
    StoreLost: lambda event: f"the store does not answer: {event.error}",
    StoreBack: lambda event: "the store answers again",
    UnknownTasks: lambda event: f"left waiting, nobody here knows: {', '.join(event.tasks)}",
    LeasesLost: lambda event: f"lost to another worker: {counted(len(event.numbers), 'job')}",
}
