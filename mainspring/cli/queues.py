"""Commands about queues: the queues themselves, purge, dead letters, pause, resume (of workers,
too)."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from mainspring.cli.jobs import listed
from mainspring.cli.options import (
    STATES,
    Place,
    affected,
    command,
    confirmed,
    host_option,
    json_option,
    place_options,
    yes_option,
)
from mainspring.cli.options import duration as duration_of
from mainspring.cli.tables import duration, seconds, table
from mainspring.errors import InvalidArguments
from mainspring.job import State
from mainspring.store import QueueInfo

if TYPE_CHECKING:
    from mainspring.app import Mainspring

C = TypeVar("C", bound=Callable[..., Any])


@click.group(invoke_without_command=True)
@place_options
@json_option
@click.pass_context
def queues(ctx: click.Context, url: str | None, app: str | None, as_json: bool) -> None:
    """List the queues: who takes from them, what is in them, and their settings.

    One that was given messages is taken from by consumers, and by workers that name it.
    """
    place: Place = ctx.obj.say(url=url, app=app)
    if ctx.invoked_subcommand is None:
        place.as_json = as_json
        _list_all(place)


def _delays(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    return None if value is None else [duration_of(each) for each in value.split(",") if each]


@command
@click.argument("queue")
@click.option("--aging", type=duration_of, help="So much older goes ahead of a priority more.")
@click.option("--keep-completed", type=duration_of, help="How long jobs are kept when completed.")
@click.option("--keep-cancelled", type=duration_of, help="And when cancelled.")
@click.option("--keep-failed", type=duration_of, help="And dead letters.")
@click.option("--by-hand/--by-workers", default=None, help="Whose the queue is.")
@click.option("--max-retries", type=int, help="Of messages that bring no retries of their own.")
@click.option(
    "--retry-delays", callback=_delays, metavar="DELAYS", help='As "10s,1m,5m"; "": exponential.'
)
@click.option("--ack-deadline", type=duration_of, help="How long a consumer holds a message.")
@click.option("--max-depth", type=int, help="How many jobs may wait; 0: any number.")
def _configure(place: Place, queue: str, **settings: Any) -> None:
    """Change settings of QUEUE, which is made if need be; what is left out stays."""
    given = {name: value for name, value in settings.items() if value is not None}
    if not given:
        raise InvalidArguments("expected at least one setting, got none")
    with place.app() as app:
        info = app.configure(queue, **given)
    place.answer(_as_json(info), f"{queue}: {_changed(info) or 'as usual'}")


queues.add_command(_configure, "configure")


def _list_all(place: Place) -> None:
    with place.app() as app:
        found, counts = app.queues(), app.counts()
    value = [_as_json(queue) | {"jobs": counts.get(queue.name, {})} for queue in found]
    place.answer(value, lambda: _listed(found, counts))


def _as_json(queue: QueueInfo) -> dict[str, Any]:
    """A queue for machines; durations in seconds."""
    return {
        "name": queue.name,
        "paused": queue.paused,
        "by_hand": queue.by_hand,
        "aging": seconds(queue.aging),
        "keep_completed": seconds(queue.keep_completed),
        "keep_cancelled": seconds(queue.keep_cancelled),
        "keep_failed": seconds(queue.keep_failed),
        "max_retries": queue.max_retries,
        "retry_delays": [seconds(delay) for delay in queue.retry_delays],
        "ack_deadline": seconds(queue.ack_deadline),
        "max_depth": queue.max_depth,
    }


def _listed(found: Sequence[QueueInfo], counts: Mapping[str, Mapping[str, int]]) -> str:
    shown = (State.PENDING, State.RUNNING, State.FAILED)
    return table(
        ("queue", "taken by", *shown, "settings"),
        [
            (
                queue.name,
                "nobody (paused)" if queue.paused else "consumers" if queue.by_hand else "workers",
                *(counts.get(queue.name, {}).get(state, 0) for state in shown),
                _changed(queue),
            )
            for queue in found
        ],
    )


def _changed(queue: QueueInfo) -> str:
    """The settings that are not as in every other queue."""
    usual = QueueInfo(name=queue.name)
    spans = ("aging", "keep_completed", "keep_cancelled", "keep_failed", "ack_deadline")
    values: dict[str, object] = {name: duration(getattr(queue, name)) for name in spans}
    values["max_retries"] = queue.max_retries
    values["retry_delays"] = "/".join(map(duration, queue.retry_delays))
    values["max_depth"] = queue.max_depth
    return ", ".join(
        f"{name} {value}"
        for name, value in values.items()
        if getattr(queue, name) != getattr(usual, name)
    )


@command
@click.argument("queue")
@click.option("--state", "states", type=STATES, multiple=True, help="Only those; may be repeated.")
@yes_option
def purge(place: Place, queue: str, states: tuple[str, ...], yes: bool) -> int:
    """Delete all jobs of QUEUE that are not running."""
    if not confirmed(f"Delete {', '.join(states) or 'all'} jobs of {queue!r}?", yes):
        return 1
    with place.app() as app:
        known = _known(app, queue)
        failure = affected(place, "deleted", app.purge(queue, states=states))
    return failure if known else 1


def _known(app: "Mainspring", queue: str) -> bool:
    """Whether there is such a queue; says so if not, since most likely it is a slip."""
    known = any(each.name == queue for each in app.queues())
    if not known:
        click.echo(f"no queue is called {queue!r} so far", err=True)
    return known


@click.group()
def dlq() -> None:
    """Dead letters: list, replay and purge jobs that failed for good."""


@command
@click.argument("queue", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--after", type=int, metavar="NUMBER", help="Go on below the job of this number.")
def _list(place: Place, queue: str | None, limit: int, after: int | None) -> None:
    """List the dead letters of QUEUE, or of all queues, the newest first."""
    with place.app() as app:
        found = [job.record for job in app.find(limit=limit, older_than=after, **_dead(queue))]
    listed(place, found, limit)


@command
@click.argument("queue", required=False)
@yes_option
def _replay(place: Place, queue: str | None, yes: bool) -> int:
    """Make the dead letters of QUEUE, or of all queues, run again."""
    if not confirmed(f"Replay every dead letter of {queue or 'all queues'}?", yes):
        return 1
    with place.app() as app:
        return affected(place, "replayed", app.replay(**_dead(queue)))


@command
@click.argument("queue", required=False)
@yes_option
def _purge(place: Place, queue: str | None, yes: bool) -> int:
    """Delete the dead letters of QUEUE, or of all queues."""
    if not confirmed(f"Delete every dead letter of {queue or 'all queues'}?", yes):
        return 1
    with place.app() as app:
        return affected(place, "deleted", app.delete(**_dead(queue)))


def _dead(queue: str | None) -> Any:
    return {"states": State.FAILED} | ({"queues": queue} if queue else {})


for _name, _command in (("list", _list), ("replay", _replay), ("purge", _purge)):
    dlq.add_command(_command, _name)


def _whom(function: C) -> C:
    """Adds arguments for queues, or else workers; the function gets the options for workers that
    were given."""

    @wraps(function)
    def within(*args: Any, queues: tuple[str, ...], workers: tuple[str, ...], host: Any) -> Any:
        if bool(queues) == bool(workers or host):
            got = "both" if queues else "neither"
            raise InvalidArguments(f"expected queues, or --worker or --host, got {got}")
        return function(*args, queues=queues, workers=workers, host=host)

    worker = click.option(
        "--worker", "workers", metavar="NAME", multiple=True, help="This worker; may be repeated."
    )
    queue = click.argument("queues", metavar="[QUEUE]...", nargs=-1)
    return queue(worker(host_option(cast(C, within))))


@command
@_whom
def pause(place: Place, queues: Sequence[str], workers: Sequence[str], host: str | None) -> None:
    """Let no job of these queues begin until they are resumed. A queue may be paused before its
    first use.

    With --worker or --host: let these workers claim nothing until they are resumed.
    """
    with place.app() as app:
        for queue in queues:
            _known(app, queue)
            app.pause(queue)
        told = queues or app.pause_workers(*workers, host=host)
    place.answer({"paused": told}, f"paused: {', '.join(told)}")


@command
@_whom
def resume(place: Place, queues: Sequence[str], workers: Sequence[str], host: str | None) -> int:
    """Let jobs of these queues begin again. Exit code 1 if there is none of a name.

    With --worker or --host: let these workers claim again.
    """
    with place.app() as app:
        told = [queue for queue in queues if _known(app, queue)]
        for queue in told:
            app.resume(queue)
        if not queues:
            told = app.resume_workers(*workers, host=host)
    place.answer({"resumed": told}, f"resumed: {', '.join(told) or 'none'}")
    return 1 if len(told) < len(queues) else 0
