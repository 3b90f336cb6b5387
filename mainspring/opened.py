"""Opened: a store that an app has opened in this process, and the threads that serve it."""

import os

from mainspring.intake import Intake
from mainspring.leases import Leases
from mainspring.results import Waiter
from mainspring.store import Store


class Opened:
    """A store, who waits for it, who brings jobs together, and who keeps leases of messages.

    `pid` is whose threads these are: a process that was forked off has none of them.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.pid = os.getpid()
        self.store = store
        self.waiter = Waiter(store, name)
        self.intake = Intake(store, name)
        self.leases = Leases(store, name)

    def close(self) -> None:
        """Store what was accepted and let go of everything."""
        self.intake.close()
        self.leases.close()
        self.waiter.close()
        self.store.close()
