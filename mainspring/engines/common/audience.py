"""Audience: all of a process who wait for the same engine's hints, and the signals they hold."""

import threading
from collections.abc import Callable

from mainspring.store import News

NOTHING = News(0)


class Heard:
    """A signal that somebody in this process rings."""

    def __init__(self, audience: "Audience", news: News) -> None:
        self._audience = audience
        self._news = news
        self._changed = threading.Condition()
        self._rung = NOTHING
        self._woken = False

    def ring(self, news: News) -> None:
        """That was committed."""
        with self._changed:
            if told := news & self._news:
                self._rung |= told
                self._changed.notify_all()

    def wait(self, timeout: float) -> News:
        with self._changed:
            self._changed.wait_for(lambda: self._rung or self._woken, timeout)
            rung, self._rung, self._woken = self._rung, NOTHING, False
            return rung

    def add(self, news: News) -> None:
        with self._changed:
            self._news |= news
        self._audience.want(news)

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self._audience.leave(self)
        self.wake()


class Audience:
    """Who waits. `news` is all that any of them ever waited for."""

    def __init__(self, reach: Callable[[News], None]) -> None:
        """`reach` is called without a lock, and sees to it that these news are heard of."""
        self.news = NOTHING
        self._reach = reach
        self._lock = threading.Lock()
        self._present: frozenset[Heard] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._present)

    def join(self, news: News) -> Heard:
        """A signal for every commit from now on that is such news."""
        heard = Heard(self, news)
        with self._lock:
            self._present |= {heard}
        self.want(news)
        return heard

    def want(self, news: News) -> None:
        """Somebody waits for these."""
        with self._lock:
            self.news |= news
        self._reach(news)

    def leave(self, heard: Heard) -> None:
        """It does not wait any more."""
        with self._lock:
            self._present -= {heard}

    def ring(self, news: News) -> None:
        """Tell those whom it concerns."""
        for heard in self._present:
            heard.ring(news)

    def wake(self) -> None:
        """End what all of them wait for."""
        for heard in self._present:
            heard.wake()
