"""Traffic: what is known of a queue, from counts of the jobs that are there and that have left."""

from collections.abc import Mapping

from mainspring.engines.common.codes import COMPLETED, FAILED, REMOVED, RUNNING, WAITING
from mainspring.store import Traffic


def traffic(
    here: Mapping[int, int], left: Mapping[int, int], consumers: int, consumed: int, waited: int
) -> Traffic:
    """A queue's traffic. `left` counts the removed, and what left each final state."""
    return Traffic(
        depth=sum(here.get(state, 0) for state in WAITING),
        running=here.get(RUNNING, 0),
        consumers=consumers,
        dead_letters=here.get(FAILED, 0),
        published=sum(here.values()) + left.get(REMOVED, 0),
        consumed=consumed,
        acked=here.get(COMPLETED, 0) + left.get(COMPLETED, 0),
        dead_lettered=here.get(FAILED, 0) + left.get(FAILED, 0),
        waited=waited,
    )
