"""Signals: one subscriber per process hears of every commit that matters and tells all who wait.

Only a hint: what is missed while the connection is down, or where the server does not tell, is
found by asking again. After a reconnection everybody is told to look.
"""

import threading
import time
from contextlib import suppress
from typing import Any

from redis import exceptions as told

from mainspring.engines.redis.client import Client

HEAR_SECONDS = 0.5
"""How often the subscriber looks whether it is still wanted."""
SUBSCRIBE_SECONDS = 5.0
_LONGEST_PAUSE = 1.0


class Here:
    """A signal of this process."""

    def __init__(self, bell: "Bell") -> None:
        self._bell = bell
        self._changed = threading.Condition()
        self._rung = self._woken = False

    def ring(self) -> None:
        """Something was committed."""
        with self._changed:
            self._rung = True
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._rung or self._woken, timeout)
            rung, self._rung, self._woken = self._rung, False, False
            return rung

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self._bell.leave(self)
        self.wake()


class Bell:
    """Hears of commits, while anybody listens."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew: the thread that heard is not in this process."""
        self._lock = threading.Lock()
        self._listeners: set[Here] = set()
        self._hearing = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self) -> Here:
        """A signal for every commit from now on."""
        here = Here(self)
        with self._lock:
            self._listeners.add(here)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._hear, name="mainspring redis bell", daemon=True
                )
                self._thread.start()
        self._hearing.wait(SUBSCRIBE_SECONDS)
        return here

    def leave(self, here: Here) -> None:
        """It does not listen any more."""
        with self._lock:
            self._listeners.discard(here)

    def close(self) -> None:
        """Nobody listens any more."""
        with self._lock:
            listeners, self._listeners = self._listeners, set()
            thread = self._thread
        for here in listeners:
            here.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * HEAR_SECONDS)

    def _ring(self) -> None:
        for here in tuple(self._listeners):
            here.ring()

    def _hear(self) -> None:
        pause = 0.01
        while not self._idle():
            subscription = self._client.redis.pubsub(ignore_subscribe_messages=False)
            try:
                subscription.subscribe(self._client.key("wake"))
                while not self._idle():
                    if self._heard(subscription):
                        pause = 0.01
            except (told.RedisError, OSError):
                self._hearing.clear()
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            finally:
                with suppress(told.RedisError, OSError):
                    subscription.close()

    def _heard(self, subscription: Any) -> bool:
        message = subscription.get_message(timeout=HEAR_SECONDS)
        if message is None:
            return False
        if message["type"] == "subscribe":
            self._hearing.set()
        self._ring()
        return True

    def _idle(self) -> bool:
        """Whether nobody listens: then the thread ends."""
        with self._lock:
            if self._listeners:
                return False
            self._thread = None
            self._hearing.clear()
            return True
