"""Signals: a hint from any of the shards. One thread listens to each, for all who wait."""

import os
import threading
from collections.abc import Callable, Sequence

from mainspring.engines.shards.shard import Shard
from mainspring.errors import StoreUnavailable
from mainspring.store import Signal

TURN = 1.0
"""Seconds of one wait, and between two tries to hear of a shard that does not answer."""


class AnyOf:
    """A signal by any of the shards."""

    def __init__(self, leave: "Callable[[AnyOf], None]") -> None:
        self._event = threading.Event()
        self._leave = leave
        self._rung = False

    def ring(self) -> None:
        """One of them has rung."""
        self._rung = True
        self._event.set()

    def wait(self, timeout: float) -> bool:
        self._event.wait(timeout)
        self._event.clear()
        rung, self._rung = self._rung, False
        return rung

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._leave(self)


class Ears:
    """Listens to all shards from the first who asks for it on, until it is closed."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._lock = threading.Lock()
        self._listeners: set[AnyOf] = set()
        self._closed = threading.Event()
        self._signals: list[Signal] = []
        self._threads: list[threading.Thread] = []
        self._pid = 0

    def listen(self) -> "AnyOf":
        """A signal for every commit from now on."""
        with self._lock:
            if self._pid != os.getpid():
                # A forked process has none of its parent's threads.
                self._pid, self._signals, self._threads = os.getpid(), [], []
                self._listeners = set()
                for shard in self._shards:
                    self._start(shard)
            listener = AnyOf(self._listeners.discard)
            self._listeners.add(listener)
        return listener

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        if self._pid != os.getpid():
            return
        for signal in list(self._signals):
            signal.wake()
        for thread in self._threads:
            thread.join()

    def _start(self, shard: Shard) -> None:
        signal = self._signal(shard)
        name = f"mainspring-shard-{shard.name}-ear"
        thread = threading.Thread(
            target=self._hear, args=(shard, signal, self._signals), name=name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _signal(self, shard: Shard) -> Signal | None:
        try:
            signal = shard.do(lambda store: store.listen())
        except StoreUnavailable:
            return None
        self._signals.append(signal)
        return signal

    def _hear(self, shard: Shard, signal: Signal | None, signals: list[Signal]) -> None:
        while not self._closed.is_set():
            if signal is None:
                self._closed.wait(TURN)
                signal = self._signal(shard)
                rung = signal is not None
            else:
                rung = self._rung(signal)
            for listener in tuple(self._listeners) if rung else ():
                listener.ring()
        if signal is not None:
            signals.remove(signal)
            signal.close()

    def _rung(self, signal: Signal) -> bool:
        try:
            return signal.wait(TURN)
        except StoreUnavailable:
            self._closed.wait(TURN)
            return False
