"""Office: all that a worker does with its store, and the threads that do it."""

from collections.abc import Callable, Collection
from typing import Protocol, TypeAlias

from mainspring.store import Counts, Exchanged, Presence, Pulse, Store
from mainspring.worker.books.audit import Audit
from mainspring.worker.books.contact import Client as Caller
from mainspring.worker.books.contact import Contact
from mainspring.worker.books.keeper import Keeper
from mainspring.worker.books.ledger import Ledger, Round
from mainspring.worker.books.listener import Listener
from mainspring.worker.books.upkeep import Upkeep

FindStore: TypeAlias = Callable[[str, str | None], Store]
"""Gives the store at a URL, which may ask for a key."""


class Client(Caller, Protocol):
    """Who is told what the store says. Called in the threads of the office."""

    def written(self, round: Round, answer: Exchanged) -> None:
        """A round is written; the next one may be submitted."""
        ...

    def asked(self, pulse: Pulse) -> None:
        """Grants are lost, or jobs are to be cancelled, or queues are paused."""
        ...

    def poked(self) -> None:
        """There may be work."""
        ...

    @property
    def elastic(self) -> bool:
        """Whether it wants to know how much waits."""
        ...

    def counted(self, counts: Counts) -> None:
        """So many jobs are in the store."""
        ...

    def presence(self) -> Presence:
        """What the worker tells of itself."""
        ...

    def known(self) -> Collection[tuple[int, int]]:
        """Number and token of all jobs that wait, run or are still to be written here."""
        ...


class Office:
    """Keeper, ledger, listener and upkeep over one store. `lease` in seconds."""

    def __init__(self, store: Store, worker: str, lease: float, client: Client) -> None:
        self.listener = Listener(store, client.poked)
        contact = Contact(client)
        self.keeper = Keeper(store, lease, contact, client.presence, client.asked)
        self.ledger = Ledger(store, contact, client.written, self.keeper.beat)
        audit = Audit(store, lease, self.keeper, client.known)
        self.upkeep = Upkeep(store, worker, lease, contact, [audit.look, self._survey])
        self._store = store
        self._client = client
        self.keeper.start()
        self.upkeep.start()

    def _survey(self) -> None:
        """Count what waits, if that decides how many processes there are."""
        if self._client.elastic:
            self._client.counted(self._store.counts())

    def close(self) -> None:
        """End all threads, and tell the store that the worker is gone, if it can be told."""
        self.ledger.close()
        self.upkeep.close()
        self.listener.close()
        self.keeper.close()
