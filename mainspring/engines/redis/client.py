"""The way to the server: connections, scripts that are loaded when they are missing, and calls of
several threads that share a round trip."""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from redis import exceptions as told
from redis.backoff import NoBackoff
from redis.retry import Retry

from mainspring.engines.redis.address import Address
from mainspring.engines.redis.script import Script, script
from mainspring.engines.redis.trouble import translated, trouble
from mainspring.errors import StoreUnavailable
from mainspring.job import Now

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
WAIT_MILLISECONDS = 5_000
"""How long replicas have to acknowledge a write."""
MOST_TOGETHER = 64


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


class _Call(NamedTuple):
    """One script with its arguments, and where its caller waits for the answer."""

    script: Script
    arguments: Sequence[Any]
    answer: list[Any]
    done: threading.Event


class Client:
    """Runs scripts on the server."""

    def __init__(self, address: Address) -> None:
        self.place = address.place
        self.tag = address.tag
        self._replicas = address.replicas
        self._cluster = address.kind == "cluster"
        self._keys = (2, self.key("meta"), self.key("nothing"))
        with trouble(self.place):
            self.redis = connect(address)
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew with nobody waiting: the threads that waited are not in this process."""
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []

    def close(self) -> None:
        """Let go of all connections."""
        self.redis.close()

    def key(self, name: str) -> str:
        """The name of a part of the store on the server."""
        return f"{self.tag}:{name}"

    def run(self, name: str, *arguments: Any, now: Now | None = None, writes: bool = True) -> Any:
        """The answer of a script. A lost connection is tried once more: all verbs bear that."""
        with trouble(self.place):
            call = script(name), self._arguments(now, arguments)
            try:
                return self._run(*call, writes)
            except (told.TimeoutError, told.BusyLoadingError, told.AuthenticationError):
                raise
            except told.ConnectionError:
                return self._run(*call, writes)

    def run_together(self, name: str, *arguments: Any, now: Now | None = None) -> Any:
        """The same; calls of several threads at once share a round trip."""
        call = _Call(script(name), self._arguments(now, arguments), [], threading.Event())
        self._waiting.append(call)
        while not call.done.is_set():
            with self._lock:
                if not call.done.is_set():
                    self._serve()
        (answer,) = call.answer
        if isinstance(answer, BaseException):
            ours = translated(answer, self.place)
            if ours is None:
                raise answer
            raise ours from answer
        return answer

    def server_time(self) -> int:
        """The server's clock, in microseconds."""
        seconds, micros = self.redis.time()
        return int(seconds) * 1_000_000 + int(micros)

    def _serve(self) -> None:
        """Make all calls that wait now, with the lock held."""
        calls, self._waiting[:MOST_TOGETHER] = self._waiting[:MOST_TOGETHER], []
        answers: list[Any]
        try:
            answers = self._run_all(calls)
        except Exception as error:
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            call.answer.append(answer)
            call.done.set()

    def _run_all(self, calls: Sequence[_Call]) -> list[Any]:
        if len(calls) == 1 or self._cluster:
            return [self._answer(call) for call in calls]
        pipe = self.redis.pipeline(transaction=False)
        for call in calls:
            pipe.execute_command("EVALSHA", call.script.sha, *self._keys, *call.arguments)
        if self._replicas:
            pipe.execute_command("WAIT", self._replicas, WAIT_MILLISECONDS)
        try:
            answers: list[Any] = pipe.execute(raise_on_error=False)
        except (told.ConnectionError, OSError):
            return [self._answer(call) for call in calls]
        if self._replicas:
            self._require(answers.pop())
        for at, (call, answer) in enumerate(zip(calls, answers, strict=True)):
            if isinstance(answer, told.NoScriptError):
                answers[at] = self._answer(call)
        return answers

    def _answer(self, call: _Call) -> Any:
        try:
            try:
                return self._run(call.script, call.arguments, True)
            except told.TimeoutError:
                raise
            except told.ConnectionError:
                return self._run(call.script, call.arguments, True)
        except Exception as error:
            return error

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
