"""Client: a server's messages, entries, topics and tasks from anywhere, blocking or async."""

from types import TracebackType
from typing import Any, Self

from mainspring.client.kv import AsyncKeyValue, KeyValue
from mainspring.client.lines import AsyncLine, Line, Settings
from mainspring.client.pubsub import AsyncPubSub, PubSub
from mainspring.client.queue import AsyncQueues, Queues
from mainspring.client.tasks import AsyncTasks, Tasks
from mainspring.durations import Duration

URL = "http://localhost:8700"


class Client:
    """A server, by its address. Any number of threads may use one client.

    `api_key` is else what MAINSPRING_API_KEY says. A request that got no answer within `timeout`
    beyond what the server may wait on purpose, whose connection broke, or that was told to come
    back later, is sent up to `retries` times more where that is safe: `StoreUnavailable` when it
    was of no use. `tls` is an `ssl.SSLContext` for servers with certificates of their own.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        api_key: str | None = None,
        timeout: Duration = 30,
        retries: int = 5,
        tls: Any = True,
    ) -> None:
        self._line = Line(Settings(url, api_key, timeout, retries, tls))
        self.kv = KeyValue(self._line)
        self.pubsub = PubSub(self._line)
        self.queue = Queues(self._line)
        self.tasks = Tasks(self._line)

    def close(self) -> None:
        """Hang up. Repeatable."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient:
    """The async twin of `Client`, for one event loop: every verb is awaited."""

    def __init__(
        self,
        url: str = URL,
        *,
        api_key: str | None = None,
        timeout: Duration = 30,
        retries: int = 5,
        tls: Any = True,
    ) -> None:
        self._line = AsyncLine(Settings(url, api_key, timeout, retries, tls))
        self.kv = AsyncKeyValue(self._line)
        self.pubsub = AsyncPubSub(self._line)
        self.queue = AsyncQueues(self._line)
        self.tasks = AsyncTasks(self._line)

    async def close(self) -> None:
        """Hang up. Repeatable."""
        await self._line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
