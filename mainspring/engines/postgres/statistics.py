"""What happened, minute by minute: gathered in memory, written with the next commit."""

from mainspring.engines.common.sections import sections
from mainspring.engines.common.tallies import MINUTE, Place, Tally, sums
from mainspring.engines.postgres.arrays import bigints
from mainspring.engines.postgres.reader import Reader
from mainspring.store import Minute

SQL = sections(__file__)


def write(reader: Reader, tallies: dict[Place, Tally]) -> None:
    """Add them to what the database has. In one order, so that no two wait for each other."""
    ordered = sorted(tallies.items())
    buckets = [
        (*place, kind, bucket, n)
        for place, t in ordered
        for kind, each in enumerate(t.buckets)
        for bucket, n in sorted(each.items())
    ]
    for name, rows in (("add_stat", sums(tallies)), ("add_histogram", buckets)):
        if rows:
            reader.run(SQL[name], tuple(map(bigints, zip(*rows, strict=True))))


def read(reader: Reader, since: int) -> list[Minute]:
    """What the database has, from the minute of `since` on."""
    first = max(1, since // MINUTE)
    histograms: dict[tuple[int, str, str], tuple[dict[int, int], dict[int, int]]] = {}
    for minute, queue, task, kind, bucket, n in reader.rows(SQL["histograms"], (first,)):
        histograms.setdefault((minute, queue, task), ({}, {}))[kind][bucket] = n
    minutes = []
    for minute, queue, task, *told in reader.rows(SQL["stats"], (first,)):
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
