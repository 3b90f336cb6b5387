"""Identity: whether the file is still the one that was opened."""

import os
import time

from mainspring.engines.sqlite.address import Address
from mainspring.errors import StoreGone

LOOK_SECONDS = 0.1
"""How often to look."""


class Identity:
    """Of a file that is in use: nothing may be acknowledged into one that is gone."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._known = self._now()
        self._looked = time.monotonic()

    def verify(self) -> None:
        """See now and then that the file is still there. `StoreGone` if it is not."""
        if time.monotonic() - self._looked <= LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if self._now() != self._known:
            self._looked = 0
            raise StoreGone(
                f"{self._address.place}: the file was removed or replaced while it was in use;"
                " nothing is written to it until the store is opened again"
            )

    def _now(self) -> tuple[int, int] | None:
        if self._address.path is None:
            return None
        try:
            found = os.stat(self._address.path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino
