"""Presence: what a worker tells of itself, and what operators want of it. Values.

Durations here are seconds; moments are microseconds, wall clock.
"""

from msgspec import Struct


class Member(Struct, frozen=True, kw_only=True):
    """A child process of a worker. `kind` is shared or process (one job at a time, killable);
    `state` is starting, ready or retiring. `memory` in bytes, `age` in seconds; `processed` counts
    the attempts that ended in it."""

    pid: int
    kind: str
    state: str
    busy: int = 0
    slots: int = 0
    processed: int = 0
    memory: int = 0
    age: float = 0.0


class Slowest(Struct, frozen=True, kw_only=True):
    """The job that has run longest: for how many `seconds`, and where it is. `traceback` has at
    most 4000 characters, "" if the code cannot be looked into."""

    task: str
    number: int
    seconds: float
    traceback: str = ""


class Presence(Struct, frozen=True, kw_only=True):
    """What a worker tells of itself. `state` is starting, running, paused, stopping or
    stopped.

    `utilisation` (0 to 1) is the share of its slots' time that was spent on jobs since the last
    heartbeat, `last` the job that ended last ("task #number"). `seen` is written by the store.
    """

    id: str
    host: str
    pid: int
    started: int
    state: str
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    slots: int = 0
    busy: int = 0
    processed: int = 0
    failed: int = 0
    children: int = 0
    seen: int = 0
    current: str = ""
    utilisation: float = 0.0
    last: str = ""
    members: tuple[Member, ...] = ()
    slowest: Slowest | None = None


FRESH = 60_000_000
"""Microseconds for which a worker that has just come makes jobs due again and again."""


def awaited(presence: Presence, before: Presence | None, wall: int) -> list[str]:
    """The tasks whose parked jobs are to be due now that this worker tells of them: those it has
    not told of before. For a minute all of them: workers that do not know a task may be quicker to
    take its jobs, and park them again."""
    if before is None or wall < presence.started + FRESH:
        return list(presence.tasks)
    return [task for task in presence.tasks if task not in before.tasks]


class Wanted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What operators want of a worker; None where they want nothing, or leave a thing as it is.

    `paused`: claim nothing, and give back what has not begun. `stop`: finish what runs, then end.
    `processes`: the least and most children. `reload`: when a rolling restart was asked for; it is
    done if the worker loaded its app before that.
    """

    paused: bool | None = None
    stop: bool | None = None
    processes: tuple[int, int] | None = None
    reload: int | None = None
