"""The report: the figures of a contest as a table for people."""

from collections.abc import Callable
from typing import Any

from bench.rivals.contender import SLEEPS, SLEEPS_LIMIT

Result = dict[str, Any]

MISSING = "–"


def table(results: list[Result], jobs: int) -> str:
    """The figures, and below them in words what they were taken with."""
    rows = [[title for title, _ in COLUMNS]]
    rows += [[cell(result, shown) for _, shown in COLUMNS] for result in results]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    lines = [
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    notes = [line for result in results for line in ["", *note(result, jobs)]]
    return "\n".join([*lines, *notes])


def note(result: Result, jobs: int) -> list[str]:
    settings = result["settings"]
    lines = [
        result["title"],
        f"  {', '.join(pin.replace('==', ' ') for pin in result['versions'])}",
        f"  1 process: {settings['one']}",
        f"  2 processes and latency: {settings['two']}",
        f"  {SLEEPS:,} × 0.1 s: {settings['sleeps']}",
        f"  bulk: {result['bulk']}",
        f"  durability: {result['durability']}",
        f"  after kill -9: {result['recovery']}",
    ]
    for key in ("drain_1", "drain_2"):
        drain = result.get(key)
        if drain and drain["done"] < jobs:
            lines.append(f"  {key}: cut short after {drain['done']:,} of {jobs:,} jobs")
        if drain and drain["repeated"]:
            lines.append(f"  {key}: {drain['repeated']:,} jobs started more than once")
    if "error" in result:
        lines.append(f"  FAILED {result['error']}")
    return lines


def cell(result: Result, shown: Callable[[Result], str]) -> str:
    try:
        return shown(result)
    except KeyError:
        return MISSING


def bulk(result: Result) -> float:
    return float(max(result["drain_1"]["bulk_per_s"], result["drain_2"]["bulk_per_s"]))


def sleeps(result: Result) -> str:
    seconds, done = result["sleeps"]["seconds"], result["sleeps"]["done"]
    return f"{seconds:.2f}" if seconds else f"{done:,} in {SLEEPS_LIMIT:.0f}"


COLUMNS: list[tuple[str, Callable[[Result], str]]] = [
    ("", lambda result: str(result["title"])),
    ("drain/s, 1 process", lambda result: f"{result['drain_1']['jobs_per_s']:,.0f}"),
    ("2 processes", lambda result: f"{result['drain_2']['jobs_per_s']:,.0f}"),
    ("bulk/s", lambda result: f"{bulk(result):,.0f}"),
    ("single/s", lambda result: f"{result['single_per_s']:,.0f}"),
    ("p50 ms", lambda result: f"{result['latency']['p50_ms']:.1f}"),
    ("p99 ms", lambda result: f"{result['latency']['p99_ms']:.1f}"),
    (f"{SLEEPS:,} × 0.1 s, s", sleeps),
    ("survives kill -9", lambda result: "yes" if result["survives_kill"] else "no"),
]
