"""The numbers that stand for states, flags and bits on the server, as in scripts/shared.lua."""

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
CODE = {state: code for code, state in enumerate(STATES, 1)}
STATE = dict(enumerate(STATES, 1))
ALL_STATES = sum(1 << code for code in STATE)

UNIQUE, EXPIRES, MARKED, EDGES, KEEPS, SINGLE, HEADERS, EXTRA = (1 << n for n in range(8))
"""Flags of a body."""

CAREFUL, SUSPECT, KEPT, PARENT, ASKED, WORDS, ERRED = (1 << n for n in range(7))
"""Bits of a row."""

SLICE = 1000
"""The most jobs one step promotes, expires, releases or removes."""
