"""Opened: a store, and the threads that serve it in this process."""

import os

from mainspring.intake import Intake
from mainspring.leases import Leases
from mainspring.relay import Relay
from mainspring.results import Waiter
from mainspring.store import Store


class Opened:
    """What an app has from its first use until it is closed."""

    def __init__(self, store: Store, name: str) -> None:
        self.pid = os.getpid()
        self.store = store
        self.waiter = Waiter(store, name)
        self.intake = Intake(store.insert, f"{name} intake", repeatable=True)
        self.posting = Intake(store.post, f"{name} publisher", repeatable=False)
        self.leases = Leases(store, name)
        self.relay = Relay(store, name)

    def close(self) -> None:
        """Store what was accepted, have the threads end, and let go of the store."""
        self.intake.close()
        self.posting.close()
        self.leases.close()
        self.waiter.close()
        self.relay.close()
        self.store.close()
