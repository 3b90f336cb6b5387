"""Signals: one subscriber per process hears of commits, each kind of news on a channel of its own,
and tells all who wait.

Only a hint: what is missed while the connection is down, or where the server does not tell, is
found by asking again. After a reconnection everybody is told to look.
"""

import secrets
import threading
import time
from contextlib import suppress
from typing import Any

from redis import exceptions as told

from mainspring.engines.common.audience import NOTHING, Audience
from mainspring.engines.redis.client import Client
from mainspring.store import News, Signal

HEAR_SECONDS = 0.5
"""How often the subscriber looks whether it is still wanted."""
SUBSCRIBE_SECONDS = 5.0
_LONGEST_PAUSE = 1.0
_TROUBLE = (told.RedisError, told.RedisClusterException, OSError)


class Bell:
    """Hears of commits, while anybody listens."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._channels = {client.key(f"wake:{_name(each)}").encode(): each for each in News}
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew: the thread that heard is not in this process."""
        self._own = self._client.key(f"wake:{secrets.token_hex(8)}")
        self._changed = threading.Condition()
        self._audience = Audience(self._reach)
        self._hears = NOTHING
        self._thread: threading.Thread | None = None

    def listen(self, news: News) -> Signal:
        """A signal for every such commit from now on."""
        return self._audience.join(news)

    def close(self) -> None:
        """Nobody listens any more."""
        audience, self._audience = self._audience, Audience(self._reach)
        audience.wake()
        with self._changed:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * HEAR_SECONDS)

    def _reach(self, news: News) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._hear, name="mainspring redis bell", daemon=True
                )
                self._thread.start()
            surprised = self._hears and news not in self._hears
        if surprised:
            with suppress(*_TROUBLE):
                self._client.redis.publish(self._own, "")
        with self._changed:
            self._changed.wait_for(lambda: news in self._hears, SUBSCRIBE_SECONDS)

    def _hear(self) -> None:
        pause = 0.01
        while not self._idle():
            subscription = self._client.redis.pubsub(ignore_subscribe_messages=False)
            try:
                subscription.subscribe(self._own)
                asked = NOTHING
                while not self._idle():
                    if more := self._audience.news & ~asked:
                        subscription.subscribe(*self._named(more))
                        asked |= more
                    if self._heard(subscription):
                        pause = 0.01
            except _TROUBLE:
                self._hears = NOTHING
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            finally:
                with suppress(*_TROUBLE):
                    subscription.close()

    def _named(self, news: News) -> list[bytes]:
        return [channel for channel, each in self._channels.items() if each in news]

    def _heard(self, subscription: Any) -> bool:
        message = subscription.get_message(timeout=HEAR_SECONDS)
        if message is None:
            return False
        news = self._channels.get(message["channel"], NOTHING)
        self._audience.ring(news)  # having subscribed, for what was missed
        if message["type"] == "subscribe":
            with self._changed:
                self._hears |= news
                self._changed.notify_all()
        return True

    def _idle(self) -> bool:
        """Whether nobody listens: then the thread ends."""
        with self._changed:
            if self._audience:
                return False
            self._thread = None
            self._hears = NOTHING
            return True


def _name(news: News) -> str:
    assert news.name is not None
    return news.name.lower()
