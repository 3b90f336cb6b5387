"""Move: copy all that is in one store to another, as it stands; repeatable."""

import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from mainspring.cells import Cell, Put
from mainspring.dossier import Dossier
from mainspring.durations import SECOND
from mainspring.errors import InvalidState
from mainspring.ids import new_token
from mainspring.job import JobError, Lost, Reason, State
from mainspring.lifecycle import decide
from mainspring.store import Counts, Grant, Settings, Store

BATCH = 1000

ENTRIES = 100
"""Of the key-value store at once: each may be as large as a payload."""


class Copied(Struct, frozen=True):
    """What a copy found: jobs and entries at the source, those among them that were not yet at the
    target, jobs that were and stand otherwise there, and sentences about what is not as it should
    be afterwards (none is good)."""

    jobs: int
    new: int
    left_alone: int
    entries: int = 0
    new_entries: int = 0
    wrong: tuple[str, ...] = ()


def copy(source: Store, target: Store, tell: Callable[[int], object] = lambda n: None) -> Copied:
    """Copy queues, jobs in the order of their numbers, and entries of the key-value store, which
    get versions of the target's own; `tell` hears how many jobs are done.

    Nobody may be at work at the source, nor yet at the target. `InvalidState` if a worker is, or
    a job still runs. A copy that was cut short is repeated from the start: what is there already
    stays as it is. Each job of the source is looked for at the target afterwards, and a new one
    must stand there as it does here; other jobs of the target are not looked at. The source loses
    nothing but what its own chores end, which are done first: retention, times to live, what dead
    workers held.
    """
    for name, store in ("source", source), ("target", target):
        _refuse_workers(name, store)
    _quiet(source)
    before = source.counts()
    _copy_queues(source, target)
    jobs = new = left_alone = after = 0
    wrong: list[str] = []
    while page := source.dump(after, BATCH):
        earlier = _states(target, page)
        # Parents may come after their children: what jobs wait for is written when all are there.
        new += target.restore([msgspec.structs.replace(each, waits=()) for each in page])
        here = _states(target, page)
        other = [each for each in page if here.get(each.job.id) is not each.state]
        left_alone += sum(each.job.id in earlier for each in other)
        wrong += [_differs(each) for each in other if each.job.id not in earlier]
        jobs, after = jobs + len(page), page[-1].number
        tell(jobs)
    _copy_waits(source, target)
    entries, new_entries = _copy_entries(source, target)
    wrong += [f"target: {sentence}" for sentence in target.check()]
    if source.counts() != before or jobs != _number(before):
        wrong.append("the source changed while it was copied: repeat the copy")
    return Copied(jobs, new, left_alone, entries, new_entries, tuple(wrong))


def _refuse_workers(name: str, store: Store) -> None:
    if busy := [each.id for each in store.workers() if each.state != "stopped"]:
        raise InvalidState(f"workers are at work on the {name}: stop {', '.join(busy)} first")


def _states(store: Store, dossiers: Sequence[Dossier]) -> dict[bytes, State]:
    records = store.get([each.job.id for each in dossiers])
    return {record.id: record.state for record in records if record is not None}


def _differs(each: Dossier) -> str:
    return f"job {each.job.uuid} is {each.state} at the source, and not at the target"


def _quiet(source: Store) -> None:
    """Settle what was left lying, and see that nothing runs."""
    grant = Grant(token=new_token(), worker="mainspring copy", lease=15 * SECOND)
    while jobs := source.reclaim(grant, BATCH):
        message = "its lease ended: the worker that held it is gone"
        error = JobError(attempt=0, type="WorkerLost", message=message, reason=Reason.WORKER_LOST)
        source.exchange(
            [decide(job, Lost(msgspec.structs.replace(error, attempt=job.attempt))) for job in jobs]
        )
        grant = msgspec.structs.replace(grant, token=new_token())
    while source.upkeep(BATCH):
        pass
    if running := _number(source.counts(), State.RUNNING):
        raise InvalidState(
            f"{running} jobs run at the source: repeat when they have ended, or their leases have"
        )


def _copy_queues(source: Store, target: Store) -> None:
    for queue in source.queues():
        settings = Settings(
            paused=queue.paused,
            by_hand=queue.by_hand,
            aging=queue.aging,
            keep_completed=queue.keep_completed,
            keep_cancelled=queue.keep_cancelled,
            keep_failed=queue.keep_failed,
            max_retries=queue.max_retries,
            retry_delays=queue.retry_delays,
            ack_deadline=queue.ack_deadline,
            max_depth=queue.max_depth,
        )
        target.configure(queue.name, settings)


def _copy_waits(source: Store, target: Store) -> None:
    after = 0
    while page := source.dump(after, BATCH):
        tied: list[Dossier] = [each for each in page if each.waits]
        if tied:
            target.restore(tied)
        after = page[-1].number


def _copy_entries(source: Store, target: Store) -> tuple[int, int]:
    """How many there are, and how many of them were not at the target."""
    entries = new = 0
    after = ""
    while page := source.kv_scan(after=after, limit=ENTRIES):
        there = target.kv_get([cell.key for cell in page])
        fresh = [cell for cell, known in zip(page, there, strict=True) if known is None]
        target.kv_set([_put(cell) for cell in fresh])
        entries, new, after = entries + len(page), new + len(fresh), page[-1].key
    return entries, new


def _put(cell: Cell) -> Put:
    if cell.expires is None:
        return Put(cell.key, cell.value)
    return Put(cell.key, cell.value, max(1, cell.expires - time.time_ns() // 1000))


def _number(counts: Counts, *states: State) -> int:
    return sum(
        n for each in counts.values() for state, n in each.items() if not states or state in states
    )
