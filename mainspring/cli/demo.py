"""The command demo: a real pipeline over source files, from one file, to its end."""

import os
import shlex
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from mainspring.cli.options import Place, blame, command, database_file
from mainspring.cli.progress import Progress
from mainspring.cli.tables import NOTHING, counted, duration, printable, table
from mainspring.cli.work import told_on_stderr
from mainspring.durations import SECOND
from mainspring.errors import InvalidArguments

if TYPE_CHECKING:
    from mainspring.app import Mainspring
    from mainspring.demo.pipeline import Run

DATABASE = "mainspring-demo.db"
CHILDRENS_APP = "mainspring.demo.app:app"
LEASE, GRACE = "5s", "5s"
THREADS = 2
LOOK_EVERY = 0.2
MOST_DEAD_SHOWN = 5
INTERRUPTED = 130


@command
@click.option(
    "--path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The tree of Python sources; the standard library by default.",
)
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The SQLite file, if --url names no store; ./{DATABASE} by default.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    help="As many as there are processors, but 8 at most.",
)
@click.option("--limit", type=click.IntRange(1), help="Look at so many files at most.")
def demo(
    place: Place, path: Path | None, db: Path | None, processes: int | None, limit: int | None
) -> int:
    """Run a real pipeline over source files, to its end.

    Every file is parsed, compressed and hashed, by a job each; a last job waits for them all and
    writes a report. Killed at any moment and started again, it goes on.
    """
    from mainspring.demo import pipeline
    from mainspring.demo.outcome import outcome

    with _app(place, db) as app:
        run = _continued(app) or _begun(app, path, limit)
        began = time.time_ns() // 1000
        total = pipeline.left(app.store)
        pipeline.cancel_unwanted(app.store, run)
        _work(app, processes or min(os.cpu_count() or 1, 8), total)
        if pipeline.left(app.store):
            click.echo("Not finished. Start it again, and it goes on from here.", err=True)
            return INTERRUPTED
        jobs = pipeline.records(app.store, run)
        figures = outcome(run, jobs, began, time.time_ns() // 1000)
        figures |= {"root": run.root, "database": str(database_file(app.url) or app.url)}
        figures["url"] = app.url
    place.answer(figures, lambda: _text(figures))
    return 0


@contextmanager
def _app(place: Place, db: Path | None) -> "Iterator[Mainspring]":
    """An app over the database of the demonstration: configured stores hold other people's jobs."""
    from mainspring.app import Mainspring
    from mainspring.demo.tasks import tasks

    said = place.said_url()
    if said and db:
        raise InvalidArguments("expected --db or --url, got both")
    file = database_file(said) if said else (db or Path(DATABASE)).absolute()
    if said and said.startswith("sqlite:") and file is None:
        raise InvalidArguments("--url: expected a database that processes can share, got memory")
    if file and not file.parent.is_dir():
        raise InvalidArguments(f"expected a database in a folder that exists, got {file}")
    url = said or f"sqlite:///{quote(str(file))}"
    settings = place.configuration()
    with blame("url", settings):
        app = Mainspring(url, tasks)
    with app:
        with blame("url", settings):
            app.store  # noqa: B018 - opens it, or says why not
        # The processes that run the jobs import an app by name; this tells it where.
        os.environ["MAINSPRING_URL"] = url
        yield app


def _continued(app: "Mainspring") -> "Run | None":
    """The run that was left unfinished in this database, if there is one."""
    from mainspring.demo.pipeline import left, unfinished_run

    run = unfinished_run(app.store)
    if run:
        click.echo(f"Going on with {run.root}: {counted(left(app.store), 'job')} to do.", err=True)
    return run


def _begun(app: "Mainspring", path: Path | None, limit: int | None) -> "Run":
    """A new run, all its jobs stored in one transaction."""
    from mainspring.demo.pipeline import new_run, plan
    from mainspring.demo.scan import source_files

    root = (path or Path(sysconfig.get_path("stdlib"))).absolute()
    files = source_files(root)[:limit]
    if not files:
        raise InvalidArguments(f"--path: expected a tree with Python files, found none in {root}")
    file = database_file(app.url)
    report = file.with_name(f"{file.stem}-report.md") if file else Path.cwd() / f"{DATABASE}.md"
    run = new_run(root, report)
    jobs = app.enqueue_many(plan(run, files))
    click.echo(f"{counted(len(files), 'file')} in {root}: {counted(len(jobs), 'job')}.", err=True)
    return run


def _work(app: "Mainspring", processes: int, total: int) -> None:
    """Run a worker until none of these jobs is left, or a signal comes, and show how far it is."""
    from mainspring.demo.tasks import QUEUE
    from mainspring.worker.worker import Worker

    worker = Worker(
        app.store,
        app=CHILDRENS_APP,
        queues=[QUEUE],
        processes=processes,
        threads=THREADS,
        lease=LEASE,
        grace=GRACE,
        events=told_on_stderr(f"all queues, {processes} x {THREADS}"),
    )
    ended = threading.Event()

    def watch() -> None:
        _show_progress(app, ended, total)
        worker.stop()

    watcher = threading.Thread(target=watch, name="progress")
    watcher.start()
    try:
        worker.run()
    finally:
        ended.set()
        watcher.join()


def _show_progress(app: "Mainspring", ended: threading.Event, total: int) -> None:
    """Until nothing is left to do, or `ended`."""
    from mainspring.demo.pipeline import left

    began = time.monotonic()
    with Progress() as progress:
        while (waiting := left(app.store)) and not ended.is_set():
            done = total - waiting
            rate = done / max(0.001, time.monotonic() - began)
            progress.tell(done / total, f"{done:,} of {total:,} jobs, {rate:,.0f} a second")
            ended.wait(LOOK_EVERY)


def _text(figures: Mapping[str, Any]) -> str:
    dead = figures["dead_letters"]
    blocks = [
        f"{figures['root']}: {counted(figures['files'], 'file')},"
        f" {counted(figures['jobs'], 'job')}",
        f"{counted(figures['jobs_just_now'], 'job')} in {figures['seconds']:.1f}s,"
        f" {figures['jobs_per_s']:,.0f} jobs/s",
        table(("state", "jobs"), [each for each in figures["states"].items() if each[1]]),
        f"Retries: {figures['retries']}\nDead letters: {len(dead)}{_dead(figures)}",
        table(("", "p50", "p95", "p99"), [_times(figures, "wait"), _times(figures, "run")]),
        _odd_ones(figures),
        f"Report: {figures['report']}\nDatabase: {figures['database']}",
    ]
    look = "dlq list" if dead else "jobs"
    blocks.append(f"To look closer:\n  mainspring --url {shlex.quote(figures['url'])} {look}")
    return "\n\n".join(blocks)


def _dead(figures: Mapping[str, Any]) -> str:
    letters = figures["dead_letters"]
    lines = [
        printable(f"\n  {each['task']} {each['file'] or ''}: {each['error']}")
        for each in letters[:MOST_DEAD_SHOWN]
    ]
    if len(letters) > MOST_DEAD_SHOWN:
        lines.append(f"\n  … and {len(letters) - MOST_DEAD_SHOWN} more")
    return "".join(lines)


def _times(figures: Mapping[str, Any], what: str) -> list[str]:
    times = figures[f"{what}_seconds"].values()
    return [f"{what} time", *(NOTHING if t is None else duration(t * SECOND) for t in times)]


def _odd_ones(figures: Mapping[str, Any]) -> str:
    place = figures["urgent_place"]
    return (
        f"The urgent job was enqueued last and started as number {place} of {figures['jobs']:,}."
        if place
        else "The urgent job has not run."
    )
