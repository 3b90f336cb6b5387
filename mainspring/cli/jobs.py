"""Commands about single jobs and selections of them: status, show, jobs, cancel, replay."""

import shutil
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import click

from mainspring.cli.options import (
    Place,
    affected,
    command,
    confirmed,
    filter_options,
    id_of,
    job_id,
    told_refused,
    yes_option,
)
from mainspring.cli.show import as_json, error_as_json, page, rows, stopping, text_of
from mainspring.cli.tables import printable, utc
from mainspring.errors import InvalidArguments
from mainspring.job import FINAL, Record, State

_UNENDED = tuple(state for state in State if state not in FINAL)


@command
@click.argument("id", type=job_id, required=False)
@click.option("--task-id", "same", type=job_id, metavar="ID", help="The same by another name.")
def status(place: Place, id: UUID | int | None, same: UUID | int | None) -> None:
    """Tell the state of the job ID (an id or a number), and its result or error."""
    wanted = id if same is None else same
    if wanted is None or (id is not None and same is not None):
        got = "none" if wanted is None else "both ID and --task-id"
        raise InvalidArguments(f"expected one job, by ID or --task-id, got {got}")
    with place.app() as app:
        job = app.get(id_of(app, wanted)).record
    place.answer(as_json(job), lambda: in_brief(job))


def in_brief(job: Record) -> str:
    """The state of a job, and its result or error, a line each."""
    asked = ", asked to stop" if stopping(job) else ""
    lines = [f"Status: {job.state}" + (f" ({job.reason})" if job.reason else "") + asked]
    if job.state == State.COMPLETED:
        lines.append(f"Result: {text_of(job.result)}")
    elif job.error:
        lines.append(f"Error: {job.error.type}: {job.error.message}")
    if job.state == State.RUNNING and job.progress is not None:
        lines.append(f"Progress: {job.progress:.0f}% {job.note or ''}".rstrip())
    return printable("\n".join(lines))


@command
@click.argument("id", type=job_id)
@click.option("--all", "in_full", is_flag=True, help="With the traceback of every attempt.")
def show(place: Place, id: UUID | int, in_full: bool) -> None:
    """Tell everything about the job ID (an id or a number): payload, result, errors, log,
    dependencies."""
    with place.app() as app:
        job = app.get(id_of(app, id))
        errors, log, position = job.errors(), job.logs(), job.position()
        parents = app.store.get(job.record.parents)
    whole = as_json(job.record) | {
        "position": position,
        "errors": [error_as_json(error) for error in errors],
        "log": [{"at": utc(line.at), "attempt": line.attempt, "text": line.text} for line in log],
    }
    place.answer(whole, lambda: page(job.record, position, errors, log, parents, in_full=in_full))


@command
@filter_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--after", type=int, metavar="NUMBER", help="Go on below the job of this number.")
def jobs(place: Place, filter: Any, limit: int, after: int | None) -> None:
    """List jobs, the newest first."""
    with place.app() as app:
        found = [job.record for job in app.find(limit=limit, older_than=after, **filter)]
    listed(place, found, limit)


def listed(place: Place, found: list[Record], limit: int) -> None:
    """Print a page of jobs, and how to get the next one if there may be one."""
    place.answer([as_json(job) for job in found], lambda: rows(found, _width()))
    if len(found) == limit:
        click.echo(f"There may be more: --after {found[-1].number}", err=True)


def _width() -> int | None:
    """How wide the terminal is, None if somebody else reads."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@command
@click.argument("ids", metavar="[ID]...", nargs=-1, type=job_id)
@filter_options
@click.option("--reason", default="", help="Why; kept with the job.")
@yes_option
def cancel(place: Place, ids: tuple[UUID | int, ...], filter: Any, reason: str, yes: bool) -> int:
    """End waiting jobs as cancelled and ask running ones to stop.

    Which: these IDs (or numbers), or all that the filters select.
    """
    filter = _chosen(ids, filter, _UNENDED)
    if not ids and not confirmed("Cancel every job that the filters select?", yes):
        return 1
    with place.app() as app:
        asked = [id_of(app, id) for id in ids]
        outcome = app.cancel(*asked, reason=reason, **filter)
        refused = told_refused(outcome, asked)
        told = _cancelled(app.store.get([id.bytes for id in outcome.ids]))
    words = ", ".join(f"{len(jobs):,} {what}" for what, jobs in told.items() if jobs)
    value = {what.replace(" ", "_"): jobs for what, jobs in told.items()} | {"refused": refused}
    place.answer(value, words or "0 cancelled")
    return 1 if refused else 0


def _cancelled(jobs: Sequence[Record | None]) -> dict[str, list[str]]:
    """The ids of the jobs that a cancellation ended, and of those that run on for a while."""
    told: dict[str, list[str]] = {"cancelled": [], "asked to stop": []}
    for job in jobs:
        if job is not None:
            what = "asked to stop" if stopping(job) else "cancelled"
            told[what].append(str(UUID(bytes=job.id)))
    return told


@command
@click.argument("ids", metavar="[ID]...", nargs=-1, type=job_id)
@filter_options
@yes_option
def replay(place: Place, ids: tuple[UUID | int, ...], filter: Any, yes: bool) -> int:
    """Make ended jobs run again, with all attempts.

    Which: these IDs (or numbers), or all that the filters select (failed
    ones, unless --state says otherwise).
    """
    filter = _chosen(ids, filter, (State.FAILED,))
    if not ids and not confirmed("Replay every job that the filters select?", yes):
        return 1
    with place.app() as app:
        asked = [id_of(app, id) for id in ids]
        return affected(place, "replayed", app.replay(*asked, **filter), asked)


def _chosen(ids: tuple[UUID | int, ...], filter: Any, states: tuple[State, ...]) -> Any:
    """The filter to use: by ids alone, or what was given, in the states that make sense."""
    if bool(ids) == bool(filter):
        got = "both" if ids else "neither"
        raise InvalidArguments(f"expected ids, or filters such as --queue, got {got}")
    return {} if ids else {"states": states} | filter
