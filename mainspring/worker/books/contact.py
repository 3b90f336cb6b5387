"""Contact: whether the store answers, as several threads find; told once, not by each of them."""

import logging
import threading
from typing import Protocol

from mainspring.errors import KeyRefused, SchemaError, StoreDamaged, StoreGone, StoreUnavailable

log = logging.getLogger("mainspring")


class Client(Protocol):
    """Who is told."""

    def away(self, error: str) -> None:
        """The store does not answer."""
        ...

    def back(self) -> None:
        """The store answers again."""
        ...

    def broken(self, error: BaseException) -> None:
        """The store cannot be worked with."""
        ...


class Contact:
    """The store is away while anybody misses it, and back when nobody does. Thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._missed_by: set[str] = set()

    def failed(self, who: str, error: Exception) -> None:
        """The store did not answer, or not as it should; whoever asked tries again, unless
        `is_final(error)`."""
        if is_final(error):
            self._client.broken(error)
            return
        with self._lock:
            if who in self._missed_by:
                return
            if not isinstance(error, StoreUnavailable):
                log.error("the store failed in a way it should not; trying again", exc_info=error)
            if not self._missed_by:
                self._client.away(f"{type(error).__name__}: {error}")
            self._missed_by.add(who)

    def is_missed_by(self, who: str) -> bool:
        """Whether its last try failed."""
        return who in self._missed_by

    def answered(self, who: str) -> None:
        """The store did what it was asked."""
        if who not in self._missed_by:
            return
        with self._lock:
            self._missed_by.discard(who)
            if not self._missed_by:
                self._client.back()


def is_final(error: BaseException) -> bool:
    """Whether trying again would not help."""
    return isinstance(error, KeyRefused | SchemaError | StoreDamaged | StoreGone)
