"""Releases: what a step left of a job's many dependents, gone on with by later steps.

A row in `release` under the job's number says that it ended and its dependents are to be told;
under the number made negative, that it is replayed and those cancelled because of it come back.
"""

from mainspring.engines.common.codes import SLICE
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import ending, replay
from mainspring.engines.sqlite.step import Step

SQL = sections(__file__)


def work_off(step: Step, limit: int = SLICE) -> int:
    """Go on with dependents that earlier steps left; how many edges were dealt with."""
    done = 0
    while done < limit and (row := step.row(SQL["next"])) is not None:
        parent, state, after = row
        go_on = replay.go_on if parent < 0 else ending.go_on
        done += go_on(step, abs(parent), state, after, limit - done)
    return done
