"""Commands that watch: monitor (live) and stats."""

import shutil
import sys
import time
from typing import Any

import click

from mainspring.cli import options
from mainspring.cli.figures import Summary, by_task, frame, totals, unknown_tasks
from mainspring.cli.options import Place, command
from mainspring.cli.tables import NOTHING, duration, local_time, roughly, table
from mainspring.durations import HOUR, SECOND, microseconds
from mainspring.job import Record, Select, State
from mainspring.store import Store
from mainspring.urls import without_password

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _LINE_END, _SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"

MOST_LOOKED_AT = 1000
"""Scheduled jobs among which those of unknown tasks are looked for."""


@command
@click.option("--once", is_flag=True, help="Print one frame and end.")
@click.option("--interval", type=options.duration, default="1s", show_default=True)
def monitor(place: Place, once: bool, interval: str) -> None:
    """Watch queues and workers until Ctrl-C."""
    pause = max(microseconds(interval), SECOND // 20) / SECOND
    with place.app() as app:
        if once or place.as_json:
            picture = _look(app.store)
            place.answer(picture, lambda: text_of_frame(picture, app.url))
        elif sys.stdout.isatty():
            _redraw(app.store, app.url, pause)
        else:
            while True:
                click.echo(text_of_frame(_look(app.store), app.url) + "\n")
                time.sleep(pause)


def _look(store: Store) -> dict[str, Any]:
    now = _now()
    minutes = store.statistics(now - HOUR)
    everyone, scheduled = store.workers(), _scheduled(store)
    return frame(store.counts(), store.queues(), everyone, minutes, scheduled, now=now)


def _scheduled(store: Store) -> list[Record]:
    """Where jobs of unknown tasks are found: the newest, as many as bear a look each second."""
    return store.find(Select(states=(State.SCHEDULED,)), limit=MOST_LOOKED_AT)


def _redraw(store: Store, url: str, pause: float) -> None:
    """Draw each frame over the last one, on the terminal's second screen."""
    click.echo(_ENTER, nl=False)
    try:
        while True:
            columns, height = shutil.get_terminal_size()
            lines = text_of_frame(_look(store), url).split("\n")[: height - 1]
            body = "".join(f"{line[:columns]}{_LINE_END}\n" for line in lines)
            click.echo(f"{_HOME}{body}{_SCREEN_END}", nl=False)
            time.sleep(pause)
    finally:
        click.echo(_LEAVE, nl=False)


def text_of_frame(picture: dict[str, Any], url: str) -> str:
    average = picture["average_process_seconds"]
    lines = [
        f"{without_password(url)}  {local_time(_now())}",
        f"Queue Length: {picture['queue_length']}",
        f"Running Tasks: {picture['running_tasks']}",
        f"Workers: {picture['busy_slots']}/{picture['slots']} active",
        f"Avg Process Time: {NOTHING if average is None else duration(average * SECOND)}",
    ]
    if picture["unknown_tasks"]:
        lines.append(_unknown(picture["unknown_tasks"]))
    if picture["queues"]:
        lines += ["", _queues(picture["queues"])]
    if picture["workers"]:
        lines += ["", _workers(picture["workers"])]
    return "\n".join(lines)


def _queues(queues: dict[str, dict[str, Any]]) -> str:
    states = [state for state in State if any(of[state] for of in queues.values())]
    return table(
        ("queue", *states),
        [(f"{name}{_remark(of)}", *(of[state] for state in states)) for name, of in queues.items()],
    )


def _remark(queue: dict[str, Any]) -> str:
    """Why no worker may be taking from a queue."""
    if queue["paused"]:
        return " (paused)"
    return " (by hand)" if queue["by_hand"] else ""


def _workers(workers: list[dict[str, Any]]) -> str:
    workers = [worker | {"load": _load(worker["utilisation"])} for worker in workers]
    names = ("state", "load", "busy", "slots", "processed", "failed", "children")
    shown = [name for name in names if any(worker[name] for worker in workers)]
    return table(
        ("worker", *shown, "seen", "current"),
        [
            (
                worker["id"],
                *(worker[name] for name in shown),
                f"{worker['seen_seconds_ago']:.0f}s ago",
                worker["current"],
            )
            for worker in workers
        ],
    )


def _load(utilisation: float) -> str:
    return f"{100 * utilisation:.0f}%" if utilisation else ""


def _unknown(tasks: dict[str, int]) -> str:
    return "Unknown Tasks: " + ", ".join(f"{name} ({count:,})" for name, count in tasks.items())


@command
@click.option(
    "--since", type=options.duration, default="1h", show_default=True, help="How far back."
)
def stats(place: Place, since: str) -> None:
    """Numbers of jobs by state; what happened lately, and how long it took."""
    with place.app() as app:
        counts, minutes, workers = app.store.counts(), app.statistics(since), app.workers()
        unknown = unknown_tasks(_scheduled(app.store))
    total = {str(state): count for state, count in totals(counts).items()}
    everything, tasks = Summary(minutes), by_task(minutes)
    value = {
        "states": total,
        "queues": {name: {str(state): n for state, n in of.items()} for name, of in counts.items()},
        "workers": len(workers),
        "unknown_tasks": unknown,
        "since_seconds": microseconds(since) / SECOND,
        **everything.as_json(),
        "tasks": {name: summary.as_json() for name, summary in tasks.items()},
    }
    summaries = [("all", everything), *tasks.items()]
    place.answer(value, lambda: _stats_text(total, unknown, summaries, since))


def _stats_text(
    total: dict[str, int],
    unknown: dict[str, int],
    summaries: list[tuple[str, Summary]],
    since: str,
) -> str:
    jobs = table(("state", "jobs"), list(total.items()))
    if unknown:
        jobs += f"\n{_unknown(unknown)}"
    lately = table(
        (
            "task",
            "completed",
            "failed",
            "retried",
            "wait p50",
            "p95",
            "p99",
            "run p50",
            "p95",
            "p99",
        ),
        [
            (
                name,
                summary.completed,
                summary.failed,
                summary.retried,
                *(roughly(at) for at in summary.percentiles()),
            )
            for name, summary in summaries
        ],
    )
    return f"{jobs}\n\nIn the last {since}:\n{lately}"


def _now() -> int:
    return time.time_ns() // 1000
