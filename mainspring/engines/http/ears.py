"""Ears: one standing line by which a server tells of commits, for all of a process who wait."""

import contextlib
import http.client
import os
import socket
import threading
from functools import partial

from mainspring.engines.common.audience import NOTHING, Audience
from mainspring.engines.http.lines import Line, Lines
from mainspring.store import News, Signal
from mainspring.verbs import SIGNS

SILENCE = 15.0
"""Seconds without a sign after which the line is taken for dead."""

FIRST = 5.0
"""Seconds that whoever begins to listen waits for the line to stand."""

PAUSE = 1.0
"""Seconds between two tries."""


class Ears:
    """Listens from the first who asks for it on, until it is closed."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._changed = threading.Condition()
        self._audience = Audience(self._reach)
        self._hears = NOTHING
        self._thread: threading.Thread | None = None
        self._line: Line | None = None
        self._closed = False
        self._pid = 0

    def listen(self, news: News) -> Signal:
        """A signal for every such commit from now on; while the server is away, one for its
        return."""
        with self._changed:
            if self._pid != os.getpid():
                # A forked process has none of its parent's threads, and its line is not ours.
                self._pid, self._thread, self._line = os.getpid(), None, None
                self._audience, self._hears = Audience(self._reach), NOTHING
        return self._audience.join(news)

    def close(self) -> None:
        """Listen no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._pid != os.getpid() or self._thread is None:
            return
        self._hang_up()
        self._thread.join(PAUSE)

    def _reach(self, news: News) -> None:
        with self._changed:
            if self._thread is None:
                name = "mainspring-http-ears"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            elif news not in self._hears:
                self._hang_up()
                self._changed.notify_all()
            self._changed.wait_for(lambda: news in self._hears, FIRST)

    def _hang_up(self) -> None:
        line = self._line
        if line is not None and line.sock is not None:
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._closed:
            asked = self._audience.news
            # Whoever waits looks once a second, hint or no hint.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._listen(asked)
            with self._changed:
                self._hears = NOTHING
                self._changed.wait_for(partial(self._is_moot, asked), PAUSE)

    def _is_moot(self, asked: News) -> bool:
        return self._closed or self._audience.news != asked

    def _listen(self, asked: News) -> None:
        query = "&".join(f"of={SIGNS[each].decode()}" for each in asked)
        line, answer = self._lines.open(SILENCE, f"/store/hints?{query}")
        try:
            self._line = line
            if self._closed or answer.status != 200:
                return
            while (told := answer.read1(1024)) and not self._is_moot(asked):
                self._tell(asked, told)
        finally:
            self._line = None
            answer.close()
            line.close()

    def _tell(self, asked: News, told: bytes) -> None:
        if asked == self._hears:
            for news, sign in SIGNS.items():
                if sign in told:
                    self._audience.ring(news)
            return
        self._audience.ring(asked)  # for what was missed
        with self._changed:
            self._hears = asked
            self._changed.notify_all()
