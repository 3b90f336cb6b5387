"""The command that moves a store: copy."""

import click

from mainspring.cli.options import Place, blame, command, database_file, refuse_unreachable
from mainspring.cli.progress import Progress
from mainspring.engines import open_store
from mainspring.errors import InvalidArguments
from mainspring.move import Copied
from mainspring.move import copy as copy_store
from mainspring.urls import without_password


@command
@click.option("--from", "source", metavar="URL", help="The store to copy; else the one configured.")
@click.option("--to", "target", metavar="URL", required=True, help="The store that gets it all.")
def copy(place: Place, source: str | None, target: str) -> int:
    """Copy a store to another place, of whatever kind: all jobs as they stand, their history and
    logs, the queues with their settings, and the entries of the key-value store. Statistics and
    the versions of entries stay behind.

    Stop workers and producers of both first. A copy that was cut short is repeated; the source is
    kept, and jobs that are at the target already stay as they are there.
    """
    with place.say(url=source).app() as app:
        refuse_unreachable(target, new=True, said=True)
        if app.url == target or _same_file(app.url, target):
            raise InvalidArguments(
                f"--to: expected another place than the source, got {without_password(target)!r}"
            )
        settings = place.configuration()
        with blame("url", settings):
            store = open_store(target, settings.api_key)
        try:
            total = sum(n for states in app.counts().values() for n in states.values())
            with Progress() as progress:
                done = copy_store(
                    app.store,
                    store,
                    lambda n: progress.tell(n / max(n, total), f"{n:,} of {total:,} jobs"),
                )
        finally:
            store.close()
    value = {
        "jobs": done.jobs,
        "new": done.new,
        "left_alone": done.left_alone,
        "entries": done.entries,
        "new_entries": done.new_entries,
        "wrong": done.wrong,
    }
    place.answer(value, "\n".join(done.wrong) or _told(done, target))
    return 1 if done.wrong else 0


def _told(done: Copied, target: str) -> str:
    told = f"{done.jobs:,} jobs, {done.new:,} of them new, are at {without_password(target)} now."
    if done.left_alone:
        told += f" {done.left_alone:,} of the others are in another state there: left alone."
    if done.entries:
        told += f" Entries: {done.entries:,}, of them {done.new_entries:,} new."
    return told


def _same_file(one: str, other: str) -> bool:
    files = database_file(one), database_file(other)
    return None not in files and len({file.resolve() for file in files if file}) == 1
