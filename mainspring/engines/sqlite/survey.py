"""Survey: what there is for a claim, found by reading alone."""

from sqlite3 import Connection
from typing import NamedTuple

from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.step import as_json
from mainspring.store import Claim

SQL = sections(__file__)

_FEW_QUEUES = 20
"""So many queues are rather asked each than looked for by their jobs."""


class Queue(NamedTuple):
    """A queue that is not paused, and what there is in it: when its next job falls due, when its
    next one expires, score and number of the first job in the default lane, and the lowest score
    in the suspects' lane."""

    number: int
    name: str
    due: int | None
    late: int | None
    ready: int | None
    first: int | None
    suspects: int | None


class Survey(NamedTuple):
    """All that a claim looks at before it takes anything."""

    known: bool
    releases: bool
    queues: list[Queue]

    def nothing(self, wish: Claim, wall: int) -> bool:
        """Whether a claim would change nothing and get nothing."""
        return not (
            self.known
            or self.releases
            or any(
                queue.ready is not None
                or (queue.suspects is not None and wish.alone)
                or (queue.due is not None and queue.due <= wall)
                or (queue.late is not None and queue.late <= wall)
                for queue in self.queues
            )
        )

    def next_due(self) -> int | None:
        """When the next job that waits for its time falls due."""
        return min((queue.due for queue in self.queues if queue.due is not None), default=None)


def survey(connection: Connection, wish: Claim) -> Survey:
    """Look at everything that this wish may be about."""
    about = (wish.grant.token, _FEW_QUEUES)
    ((known, releases, many),) = connection.execute(SQL["known"], about).fetchall()
    if wish.queues is None:
        name = "all_queues_with_jobs" if many else "all_queues"
        rows = connection.execute(SQL[name]).fetchall()
    else:
        names = as_json(list(dict.fromkeys(wish.queues)))
        rows = connection.execute(SQL["named_queues"], (names,)).fetchall()
    return Survey(known, releases, [Queue(*row) for row in rows])


def any_ready(connection: Connection, wish: Claim) -> bool:
    """Whether one look tells that there is something for a wish for all queues."""
    return wish.queues is None and bool(connection.execute(SQL["any_ready"]).fetchall())
