"""The way to the server: connections, and scripts that are loaded when they are missing."""

from collections.abc import Sequence
from typing import Any

import redis
from redis import exceptions as told
from redis.backoff import NoBackoff
from redis.retry import Retry

from mainspring.engines.redis.address import Address
from mainspring.engines.redis.script import Script, script
from mainspring.engines.redis.trouble import trouble
from mainspring.errors import StoreUnavailable
from mainspring.job import Now

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
WAIT_MILLISECONDS = 5_000
"""How long replicas have to acknowledge a write."""


def connect(address: Address) -> Any:
    """A client of redis-py. Its pool hands every thread a connection of its own, and none that was
    opened before a fork."""
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "protocol": 2,
        **dict(address.options),
    }
    if address.kind == "cluster":
        node: Any = redis.cluster.ClusterNode
        nodes = [node(host, port) for host, port in address.hosts]
        return redis.RedisCluster(startup_nodes=nodes, ssl=address.tls, **options)
    # A lost connection is tried again here, where it is known what may be repeated.
    options |= {"retry": Retry(NoBackoff(), 0), "db": address.database, "ssl": address.tls}
    if address.kind == "sentinel":
        timeouts = {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": CONNECT_SECONDS}
        sentinel: Any = redis.Sentinel
        found = sentinel(list(address.hosts), sentinel_kwargs=timeouts)
        return found.master_for(address.service, **options)
    ((host, port),) = address.hosts[:1]
    return redis.Redis(host=host, port=port, **options)


class Client:
    """Runs scripts on the server."""

    def __init__(self, address: Address) -> None:
        self.place = address.place
        self.tag = address.tag
        self._replicas = address.replicas
        self._keys = (2, self.key("meta"), self.key("nothing"))
        with trouble(self.place):
            self.redis = connect(address)

    def close(self) -> None:
        """Let go of all connections."""
        self.redis.close()

    def key(self, name: str) -> str:
        """The name of a part of the store on the server."""
        return f"{self.tag}:{name}"

    def run(
        self,
        name: str,
        *arguments: Any,
        now: Now | None = None,
        writes: bool = True,
        repeat: bool = True,
    ) -> Any:
        """The answer of a script. If the connection is lost it is tried once more, unless the
        script must not run twice (`repeat`)."""
        with trouble(self.place):
            call = script(name), self._arguments(now, arguments)
            try:
                return self._run(*call, writes)
            except (told.TimeoutError, told.BusyLoadingError, told.AuthenticationError):
                raise
            except told.ConnectionError:
                if not repeat:
                    raise
                return self._run(*call, writes)

    def server_time(self) -> int:
        """The server's clock, in microseconds."""
        seconds, micros = self.redis.time()
        return int(seconds) * 1_000_000 + int(micros)

    def _run(self, script: Script, arguments: Sequence[Any], writes: bool) -> Any:
        try:
            return self._execute(script, arguments, writes)
        except told.NoScriptError:
            self.redis.script_load(script.text)
            return self._execute(script, arguments, writes)

    def _execute(self, script: Script, arguments: Sequence[Any], writes: bool) -> Any:
        command = ("EVALSHA", script.sha, *self._keys, *arguments)
        if not (writes and self._replicas):
            return self.redis.execute_command(*command)
        pipe = self.redis.pipeline(transaction=False)
        pipe.execute_command(*command)
        pipe.execute_command("WAIT", self._replicas, WAIT_MILLISECONDS)
        answer, acknowledged = pipe.execute()
        self._require(acknowledged)
        return answer

    def _require(self, acknowledged: Any) -> None:
        if isinstance(acknowledged, BaseException):
            raise acknowledged
        if acknowledged < self._replicas:
            raise StoreUnavailable(
                f"{self.place}: {acknowledged} of {self._replicas} replicas acknowledged the write"
                f" within {WAIT_MILLISECONDS / 1000:.0f} s; whether it lasts is not known"
            )

    def _arguments(self, now: Now | None, arguments: Sequence[Any]) -> Sequence[Any]:
        if now is None:
            return ("", "", *arguments)
        return (now.wall, now.lease, *arguments)
