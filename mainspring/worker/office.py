"""Office: all that a worker does with its store, and the threads that do it."""

from typing import NamedTuple, Protocol

from mainspring.store import Presence, Pulse, Store
from mainspring.worker.keeper import Keeper
from mainspring.worker.ledger import Desk, Ledger
from mainspring.worker.listener import Listener
from mainspring.worker.upkeep import Upkeep


class Identity(NamedTuple):
    """Who the worker is and what it wants. `lease` and `grace` in seconds."""

    name: str
    host: str
    pid: int
    started: int
    queues: tuple[str, ...] | None
    lease: float
    grace: float
    read_ahead: int


class Client(Desk, Protocol):
    """Who is told what the store says. Called in the threads of the office."""

    def asked(self, pulse: Pulse) -> None:
        """Grants are lost, or jobs are to be cancelled, or queues are paused."""
        ...

    def poked(self) -> None:
        """There may be work."""
        ...

    def presence(self) -> Presence:
        """What the worker tells of itself."""
        ...


class Office:
    """Keeper, ledger, listener and upkeep over one store. `lease` in seconds."""

    def __init__(self, store: Store, worker: str, lease: float, client: Client) -> None:
        self.listener = Listener(store, client.poked)
        self.keeper = Keeper(store, lease, client.presence, client.asked)
        self.ledger = Ledger(store, client, self.keeper.holds, self.keeper.beat)
        self.upkeep = Upkeep(store, worker, lease)
        self.keeper.start()
        self.upkeep.start()

    def close(self) -> None:
        """End all threads, and tell the store that the worker is gone, if it can be told."""
        self.ledger.close()
        self.upkeep.close()
        self.listener.close()
        self.keeper.close()
