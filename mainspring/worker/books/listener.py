"""Listener: waits for the store's hint that there may be work, in a thread of its own."""

import logging
import random
import threading
from collections.abc import Callable

from mainspring.store import News, Store

log = logging.getLogger("mainspring")

LONGEST = 1.0
"""Seconds at most between two looks, hint or no hint."""


class Listener:
    """Calls `poke` once each time it was armed: at a hint, or soon without one."""

    def __init__(self, store: Store, poke: Callable[[], None]) -> None:
        # Taken before the first claim: what is committed after that claim looked is heard of.
        self._signal = store.listen(News.WORK)
        self._poke = poke
        self._armed = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="mainspring-listener", daemon=True)
        self._thread.start()

    def arm(self) -> None:
        """A claim has found nothing more: wait, then poke."""
        self._armed.set()

    def close(self) -> None:
        """End, and let go of the signal."""
        self._closed = True
        self._armed.set()
        self._signal.wake()
        self._thread.join()
        self._signal.close()

    def _run(self) -> None:
        while True:
            self._armed.wait()
            self._armed.clear()
            if self._closed:
                return
            try:
                self._signal.wait(LONGEST * random.uniform(0.6, 1.0))
            except Exception:
                log.exception("waiting for the store's signal failed; asking it instead")
                threading.Event().wait(LONGEST / 2)
            self._poke()
