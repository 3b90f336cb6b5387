"""What happened, minute by minute: gathered in memory, written with the next commit."""

from sqlite3 import Connection

from mainspring.engines.common.sections import sections
from mainspring.engines.common.tallies import MINUTE, Place, Tally, sums
from mainspring.store import Minute

SQL = sections(__file__)


def write(connection: Connection, tallies: dict[Place, Tally]) -> None:
    """Add them to what the file has."""
    connection.executemany(SQL["add_stat"], sums(tallies))
    connection.executemany(
        SQL["add_histogram"],
        [
            (*place, kind, bucket, n)
            for place, t in tallies.items()
            for kind, buckets in enumerate(t.buckets)
            for bucket, n in buckets.items()
        ],
    )


def read(connection: Connection, since: int) -> list[Minute]:
    """What the file has, from the minute of `since` on."""
    first = max(1, since // MINUTE)
    histograms: dict[tuple[int, str, str], tuple[dict[int, int], dict[int, int]]] = {}
    for minute, queue, task, kind, bucket, n in connection.execute(SQL["histograms"], (first,)):
        histograms.setdefault((minute, queue, task), ({}, {}))[kind][bucket] = n
    minutes = []
    for minute, queue, task, *told in connection.execute(SQL["stats"], (first,)):
        waits, runs = histograms.get((minute, queue, task), ({}, {}))
        started, completed, failed, retried, waited, ran = told
        minutes.append(
            Minute(
                start=minute * MINUTE,
                queue=queue,
                task=task,
                started=started,
                completed=completed,
                failed=failed,
                retried=retried,
                waited=waited,
                ran=ran,
                wait_histogram=waits,
                run_histogram=runs,
            )
        )
    return minutes
