"""The command enqueue: store one job, and wait for it if asked."""

import contextlib
import sys
import time as clock
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mainspring.cli.jobs import in_brief
from mainspring.cli.options import Place, command, duration
from mainspring.cli.progress import Progress
from mainspring.cli.show import as_json
from mainspring.cli.tables import counted
from mainspring.durations import SECOND, microseconds
from mainspring.errors import InvalidArguments, JobCancelled, JobFailed, ResultTimeout
from mainspring.job import State

if TYPE_CHECKING:
    from mainspring.app import Mainspring
    from mainspring.handle import Job

WAITED_TOO_LONG = 75
PENDING_IS_LONG = 3.0
"""Seconds after which one wonders why a job does not begin."""


def payload(value: str) -> Any:
    """JSON: written out, in a file (@name) or on standard input (-)."""
    try:
        return msgspec.json.decode(_source(value))
    except OSError as error:
        raise click.BadParameter(f"{error.filename}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"expected JSON: {error}") from None


def _source(value: str) -> bytes:
    if value == "-":
        return sys.stdin.buffer.read()
    if value.startswith("@"):
        return Path(value[1:]).read_bytes()
    return value.encode("utf-8", "surrogateescape")


def time(value: str) -> datetime:
    """A moment in ISO 8601. That it says its offset from UTC is checked where all times are."""
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f'expected a time such as "2031-05-01T12:00:00+00:00", got {value!r}'
        ) from None


@command
@click.option("--type", "task", required=True, metavar="TASK", help="The task's name.")
@click.option("--unknown-task", is_flag=True, help="Even one that the app does not declare.")
@click.option("--payload", type=payload, help="JSON, or @FILE, or - for standard input.")
@click.option("--queue", help="Instead of the task's own queue.")
@click.option("--priority", type=int, help="-100 to 100, higher goes first.")
@click.option("--delay", type=duration, help='How long to wait at least, such as "5m".')
@click.option("--at", "run_at", type=time, help="When, with its offset from UTC.")
@click.option("--max-retries", type=int, help="Executions after the first, if that one fails.")
@click.option("--key", help="What the job belongs to, such as a customer.")
@click.option("--unique", metavar="KEY", help="Only if no unended job holds this key.")
@click.option("--label", help="What people should read.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be repeated.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 unless it completed.")
@click.option(
    "--timeout", "patience", type=duration, help="Wait so long at most; exit code 75 if too short."
)
def enqueue(
    place: Place,
    task: str,
    unknown_task: bool,
    payload: Any,
    wait: bool,
    patience: str | None,
    **options: Any,
) -> int:
    """Store a job that runs a task: with an app, one that it declares."""
    if patience and not wait:
        raise InvalidArguments("--timeout: expected --wait with it, got none")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    with place.app(new=True, declared=True) as app:
        if not unknown_task:
            _refuse_slip(app, task, place.configuration().app)
        with warnings.catch_warnings():
            # A name that is like another has been asked about.
            warnings.simplefilter("ignore", UserWarning)
            job = app.enqueue(task, payload, **given)
        if not place.as_json:
            click.echo(f"Task enqueued: {job.id}")
        if wait:
            _until_ended(app, job, patience)
        late = wait and not job.state.final
        if late:
            told = f"Not ended after {patience}: {job.state}, {_manned(app)}."
            click.echo(told, err=True)
    if wait or place.as_json:
        place.answer(as_json(job.record), lambda: in_brief(job.record))
    if late:
        return WAITED_TOO_LONG
    return 1 if wait and job.state != State.COMPLETED else 0


def _refuse_slip(app: "Mainspring", task: str, source: str | None) -> None:
    """`InvalidArguments` for a task that the app does not declare: likely a slip."""
    if source is None or app.tasks.get(task) is not None:
        return
    from difflib import get_close_matches

    whole = {name.rpartition(".")[2]: name for name in app.tasks}
    whole |= {name: name for name in app.tasks}
    near = "".join(f"; did you mean {whole[each]!r}?" for each in get_close_matches(task, whole, 1))
    raise InvalidArguments(
        f"--type: {source} declares no task {task!r}{near} (--unknown-task stores it all the same)"
    )


def _until_ended(app: "Mainspring", job: "Job[Any]", patience: str | None) -> None:
    """Wait for the end, or as long as patience lasts, showing the job's progress."""
    began = clock.monotonic()
    end = began + microseconds(patience) / SECOND if patience else float("inf")
    hint_at = began + PENDING_IS_LONG
    with Progress() as progress:
        while not job.refresh().state.final and (left := end - clock.monotonic()) > 0:
            progress.tell((job.progress or 0) / 100, f"{job.state} {job.note or ''}".rstrip())
            with contextlib.suppress(ResultTimeout, JobFailed, JobCancelled):
                job.result(timeout=min(0.5, left))
            if clock.monotonic() >= hint_at and job.state == State.PENDING and not app.workers():
                hint_at = float("inf")
                click.echo(
                    "No worker is running: mainspring --app MODULE:OBJECT worker starts one.",
                    err=True,
                )


def _manned(app: "Mainspring") -> str:
    count = len(app.workers())
    return f"{counted(count, 'worker')} running" if count else "no worker is running"
