"""FaultyStore: a real store that fails on demand, before it does something or after."""

import threading
from collections import Counter
from typing import Any

from mainspring.errors import StoreUnavailable


class FaultyStore:
    """Passes everything on to a store, but for the verbs that were broken."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._before: Counter[str] = Counter()
        self._after: Counter[str] = Counter()
        self._gone: dict[str, Exception] = {}
        self.failed: Counter[str] = Counter()

    def fail(self, verb: str, times: int = 1) -> None:
        """The next calls of this verb do nothing and fail."""
        self._before[verb] += times

    def commit_and_fail(self, verb: str, times: int = 1) -> None:
        """The next calls of this verb do their work, but the answer is lost."""
        self._after[verb] += times

    def go_away(self, *verbs: str, error: Exception | None = None) -> None:
        """These verbs fail until `come_back`."""
        for verb in verbs:
            self._gone[verb] = error or StoreUnavailable(f"{verb} fails on purpose")

    def come_back(self) -> None:
        """Everything works again."""
        self._gone.clear()

    def heal(self) -> None:
        """Nothing fails any more."""
        self.come_back()
        with self._lock:
            self._before.clear()
            self._after.clear()

    def has_failed(self, verb: str, times: int) -> bool:
        """Whether the verb has failed so often."""
        return self.failed[verb] >= times

    def __getattr__(self, verb: str) -> Any:
        real = getattr(self._store, verb)
        return real if not callable(real) else lambda *a, **k: self._call(verb, real, a, k)

    def _call(self, verb: str, real: Any, args: Any, kwargs: Any) -> Any:
        if verb in self._gone:
            self._count(verb)
            raise self._gone[verb]
        if self._due(self._before, verb):
            self._count(verb)
            raise StoreUnavailable(f"{verb} fails on purpose")
        answer = real(*args, **kwargs)
        if self._due(self._after, verb):
            self._count(verb)
            raise StoreUnavailable(f"the answer of {verb} is lost on purpose")
        return answer

    def _due(self, faults: Counter[str], verb: str) -> bool:
        with self._lock:
            if faults[verb] <= 0:
                return False
            faults[verb] -= 1
            return True

    def _count(self, verb: str) -> None:
        with self._lock:
            self.failed[verb] += 1
