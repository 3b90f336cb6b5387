"""Attempts: whether a call is sent again, and when. Does no I/O."""

import random
import time
from typing import Any

from mainspring.client.call import KEY, Answer, Call
from mainspring.errors import StoreUnavailable

BASE, LONGEST = 0.1, 5.0
"""Seconds: the first pause, doubled each time, and the longest. Half of each is left to chance, so
that those who were cut off together do not come back together."""

PATIENCE = 30.0
"""Seconds that a server may ask for before another attempt; beyond that its answer is taken."""

REFUSED = frozenset({429})
"""Of these it is known that nothing was done."""

UNSURE = frozenset({502, 503, 504})


class Attempts:
    """One call to `server`, sent up to `retries` times more, and, if it is one that waits, as often
    as there is time for in the seconds that it may."""

    def __init__(self, call: Call[Any], retries: int, server: str) -> None:
        self._server = server
        self._repeatable = call.repeatable
        self._counts_anew = not call.repeatable or KEY in call.headers
        self._sent = False
        self._left = retries
        self._end = time.monotonic() + (call.wait if retries else 0.0)
        self._pause = BASE

    def answered(self, answer: Answer) -> float | None:
        """Seconds after which to try again; None: take the answer."""
        again = answer.status in REFUSED or (answer.status in UNSURE and self._repeatable)
        if not again or self._is_over():
            return None
        asked = _seconds(answer.headers.get("retry-after", ""))
        return None if asked > PATIENCE else max(asked, self._next())

    def lost(self, error: Exception, *, sent: bool) -> float:
        """Seconds after which to try again, when there was no answer. `StoreUnavailable` when
        that is of no use, or if it was `sent` and must not be done twice."""
        self._sent |= sent
        if self._is_over() or (sent and not self._repeatable):
            words = "the server does not answer"
            if self._sent and self._counts_anew:
                words = "no answer came, so that it may have been done"
            why = str(error) or type(error).__name__
            raise StoreUnavailable(f"{self._server}: {words}: {why}") from error
        return self._next()

    def _is_over(self) -> bool:
        return self._left <= 0 and time.monotonic() >= self._end

    def _next(self) -> float:
        self._left -= 1
        pause, self._pause = self._pause, min(LONGEST, 2 * self._pause)
        return pause * random.uniform(0.5, 1.0)


def _seconds(text: str) -> float:
    """What Retry-After says; a date counts for nothing."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
