"""The command work: has a program handle jobs, one process for each, until it is told to stop."""

import os
import shlex
import shutil
from typing import Any

import click

from mainspring.cli.options import (
    Place,
    blame,
    command,
    duration,
    load_app,
    refuse_unreachable,
)
from mainspring.cli.work import GRACE_RAN_OUT, attended, told_on_stderr
from mainspring.context import MAX_RESULT
from mainspring.durations import microseconds
from mainspring.errors import InvalidArguments
from mainspring.options import text
from mainspring.settings import Configuration

CONCURRENCY = 1


@command
@click.option("--exec", "words", metavar="COMMAND", required=True, help="What handles one job.")
@click.option("--shell", is_flag=True, help="Have `sh -c` run it: pipes, variables, &&.")
@click.option("--task", "tasks", multiple=True, help="Only jobs of this task; may be repeated.")
@click.option("--queue", multiple=True, help="Only of this queue; may be repeated.")
@click.option("--concurrency", metavar="N", help=f"Jobs at once; {CONCURRENCY} by default.")
@click.option("--timeout", type=duration, metavar="TIME", help="For jobs without a limit.")
@click.option("--lease", metavar="TIME", help="How long jobs outlive a dead worker's silence.")
@click.option("--grace", metavar="TIME", help="How long jobs may go on after the first signal.")
@click.option("--health", metavar="PORT|HOST:PORT|FILE", help="Where probes ask how it is.")
@click.option("--quiet", is_flag=True, help="Do not tell of each attempt that failed.")
def work(
    place: Place,
    words: str,
    shell: bool,
    tasks: tuple[str, ...],
    queue: tuple[str, ...],
    timeout: str | None,
    quiet: bool,
    **arguments: str | None,
) -> int:
    """Have a program handle jobs, until SIGTERM or Ctrl-C; twice: until now.

    It is started for each job: the payload is its stdin, the facts are in MAINSPRING_JOB_ID,
    MAINSPRING_TASK and others, its stdout is the result. Exit code 0: completed; 65: failed for
    good; 75: try later; any other: failed.
    """
    from mainspring.worker.programs.command import Command
    from mainspring.worker.worker import Worker

    settings = place.configuration(queues=queue or None, **arguments)
    url, key = _place(settings)
    refuse_unreachable(url, new=True, said=True)
    handler = Command(
        words=("sh", "-c", words) if shell else _split(words),
        tasks=tuple(text(name, "--task") for name in tasks) or None,
        timeout=microseconds(timeout, "timeout") if timeout else None,
        environment=_passed_on(url),
        largest_result=MAX_RESULT,
    )
    slots = settings.concurrency or CONCURRENCY
    options: dict[str, Any] = {"lease": settings.lease, "grace": settings.grace}
    taken = f"queues {', '.join(settings.queues)}" if settings.queues else "all queues"
    taken += f", tasks {', '.join(tasks)}" if tasks else ", all tasks"
    with blame("lease", settings), blame("grace", settings), blame("url", settings):
        worker = Worker(
            url=url,
            api_key=key,
            command=handler,
            queues=settings.queues or None,
            threads=slots,
            read_ahead=0,
            events=told_on_stderr(f"{taken}, {slots} at once", failures=not quiet),
            **{name: value for name, value in options.items() if value is not None},
        )
        with attended([worker], settings, None):
            worker.run()
    if place.as_json:
        place.answer({"workers": [worker.name], "handed_back": worker.handed_back}, "")
    return GRACE_RAN_OUT if worker.cut_short else 0


def _place(settings: Configuration) -> tuple[str, str | None]:
    """Where jobs are, and the key for it."""
    from mainspring.app import Mainspring

    if settings.url:
        return settings.url, settings.api_key
    app = load_app(settings, settings.app) if settings.app else Mainspring()
    return app.url, app.api_key


def _split(words: str) -> tuple[str, ...]:
    """The program and its arguments, as a shell would take them apart."""
    try:
        found = tuple(shlex.split(words))
    except ValueError as error:
        raise InvalidArguments(f"--exec: expected a command, got {words!r}: {error}") from None
    if not found:
        raise InvalidArguments("--exec: expected a command, got nothing")
    if shutil.which(found[0]) is None:
        raise InvalidArguments(f"--exec: expected a program that can be run, got {found[0]!r}")
    return found


def _passed_on(url: str) -> dict[str, str]:
    """What the program finds in its environment: nothing that is for mainspring, above all not
    the store's password."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MAINSPRING_") and value != url
    }
