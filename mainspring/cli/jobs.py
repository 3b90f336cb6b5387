"""Commands about single jobs and selections of them: status, show, jobs, cancel, replay."""

from typing import Any
from uuid import UUID

import click

from mainspring.cli.options import (
    Place,
    affected,
    command,
    confirmed,
    filter_options,
    job_id,
    yes_option,
)
from mainspring.cli.show import as_json, error_as_json, page, rows, text_of
from mainspring.cli.tables import printable, utc
from mainspring.errors import InvalidArguments
from mainspring.job import FINAL, Record, State

_UNENDED = tuple(state for state in State if state not in FINAL)


@command
@click.option("--task-id", "id", type=job_id, required=True, help="The job's id.")
def status(place: Place, id: UUID) -> None:
    """Tell the state of a job, and its result or error."""
    with place.app() as app:
        job = app.get(id).record
    place.answer(as_json(job), lambda: in_brief(job))


def in_brief(job: Record) -> str:
    """The state of a job, and its result or error, a line each."""
    lines = [f"Status: {job.state}" + (f" ({job.reason})" if job.reason else "")]
    if job.state == State.COMPLETED:
        lines.append(f"Result: {text_of(job.result)}")
    elif job.error:
        lines.append(f"Error: {job.error.type}: {job.error.message}")
    if job.state == State.RUNNING and job.progress is not None:
        lines.append(f"Progress: {job.progress:.0f}% {job.note or ''}".rstrip())
    return printable("\n".join(lines))


@command
@click.argument("id", type=job_id)
def show(place: Place, id: UUID) -> None:
    """Tell everything about the job ID: payload, result, errors, log, dependencies."""
    with place.app() as app:
        job = app.get(id)
        errors, log, position = job.errors(), job.logs(), job.position()
        parents = app.store.get(job.record.parents)
    whole = as_json(job.record) | {
        "position": position,
        "errors": [error_as_json(error) for error in errors],
        "log": [{"at": utc(line.at), "attempt": line.attempt, "text": line.text} for line in log],
    }
    place.answer(whole, lambda: page(job.record, position, errors, log, parents))


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
    place.answer([as_json(job) for job in found], lambda: rows(found))
    if len(found) == limit:
        click.echo(f"There may be more: --after {found[-1].number}", err=True)


@command
@click.argument("ids", metavar="[ID]...", nargs=-1, type=job_id)
@filter_options
@click.option("--reason", default="", help="Why; kept with the job.")
@yes_option
def cancel(place: Place, ids: tuple[UUID, ...], filter: Any, reason: str, yes: bool) -> int:
    """End waiting jobs as cancelled and ask running ones to stop.

    Which: these IDs, or all that the filters select.
    """
    filter = _chosen(ids, filter, _UNENDED)
    if not ids and not confirmed("Cancel every job that the filters select?", yes):
        return 1
    with place.app() as app:
        return affected(place, "cancelled", app.cancel(*ids, reason=reason, **filter), ids)


@command
@click.argument("ids", metavar="[ID]...", nargs=-1, type=job_id)
@filter_options
@yes_option
def replay(place: Place, ids: tuple[UUID, ...], filter: Any, yes: bool) -> int:
    """Make ended jobs run again, with all attempts.

    Which: these IDs, or all that the filters select (failed ones, unless --state says otherwise).
    """
    filter = _chosen(ids, filter, (State.FAILED,))
    if not ids and not confirmed("Replay every job that the filters select?", yes):
        return 1
    with place.app() as app:
        return affected(place, "replayed", app.replay(*ids, **filter), ids)


def _chosen(ids: tuple[UUID, ...], filter: Any, states: tuple[State, ...]) -> Any:
    """The filter to use: by ids alone, or what was given, in the states that make sense."""
    if bool(ids) == bool(filter):
        got = "both" if ids else "neither"
        raise InvalidArguments(f"expected ids, or filters such as --queue, got {got}")
    return {} if ids else {"states": states} | filter
