"""Signals: a hint from any of the shards. One thread listens to each, for all who wait."""

import os
import threading
from collections.abc import Sequence

from mainspring.engines.common.audience import NOTHING, Audience
from mainspring.engines.shards.shard import Shard
from mainspring.errors import StoreUnavailable
from mainspring.store import News, Signal

TURN = 1.0
"""Seconds of one wait, and between two tries to hear of a shard that does not answer."""


class Ears:
    """Listens to all shards from the first who asks for it on, until it is closed."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._lock = threading.Lock()
        self._audience = Audience(self._reach)
        self._closed = threading.Event()
        self._signals: list[Signal] = []
        self._threads: list[threading.Thread] = []
        self._pid = 0

    def listen(self, news: News) -> Signal:
        """A signal for every such commit from now on."""
        with self._lock:
            if self._pid != os.getpid():
                # A forked process has none of its parent's threads.
                self._pid, self._signals, self._threads = os.getpid(), [], []
                self._audience = Audience(self._reach)
        return self._audience.join(news)

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        if self._pid != os.getpid():
            return
        for signal in list(self._signals):
            signal.wake()
        for thread in self._threads:
            thread.join()

    def _reach(self, news: News) -> None:
        with self._lock:
            for signal in list(self._signals):
                signal.add(news)
            if not self._threads and not self._closed.is_set():
                for shard in self._shards:
                    self._start(shard)

    def _start(self, shard: Shard) -> None:
        signal = self._signal(shard)
        name = f"mainspring-shard-{shard.name}-ear"
        thread = threading.Thread(
            target=self._hear, args=(shard, signal, self._signals), name=name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _signal(self, shard: Shard) -> Signal | None:
        news = self._audience.news
        try:
            signal = shard.do(lambda store: store.listen(news))
        except StoreUnavailable:
            return None
        self._signals.append(signal)
        if more := self._audience.news & ~news:
            signal.add(more)
        return signal

    def _hear(self, shard: Shard, signal: Signal | None, signals: list[Signal]) -> None:
        while not self._closed.is_set():
            if signal is None:
                self._closed.wait(TURN)
                signal = self._signal(shard)
                rung = NOTHING if signal is None else self._audience.news
            else:
                rung = self._rung(signal)
            if rung:
                self._audience.ring(rung)
        if signal is not None:
            signals.remove(signal)
            signal.close()

    def _rung(self, signal: Signal) -> News:
        try:
            return signal.wait(TURN)
        except StoreUnavailable:
            self._closed.wait(TURN)
            return NOTHING
