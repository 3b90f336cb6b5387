"""The numbers that stand for states and flags in tables."""

from mainspring.job import State

STATES = (
    State.SCHEDULED,
    State.BLOCKED,
    State.PENDING,
    State.RUNNING,
    State.RETRYING,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)
SCHEDULED, BLOCKED, PENDING, RUNNING, RETRYING, COMPLETED, FAILED, CANCELLED = range(1, 9)
WAITING = frozenset({SCHEDULED, BLOCKED, PENDING, RETRYING})
REMOVED = 0
"""Beside the states, in counts of what has left a queue."""
CODE = {state: code for code, state in enumerate(STATES, 1)}
STATE = dict(enumerate(STATES, 1))

UNIQUE, EXPIRES, MARKED, EDGES, KEEPS, SINGLE = 1, 2, 4, 8, 16, 32
"""Flags of a job: what its claim or its end has to look after besides the job itself. `SINGLE`: the
first attempt is the last."""

CHORES = UNIQUE | EDGES
"""Flags that mean work when the job ends."""

TAG, KEY = 0, 1
"""Kinds of marks."""

OPEN, SATISFIED, BROKEN = 1, 0, 2
"""States of an edge."""

SLICE = 1000
"""The most jobs one step promotes, expires, releases or removes."""


def default_lane(queue: int) -> int:
    """The lane of a queue's jobs; the next lower number is the lane of its suspects."""
    return -2 * queue
