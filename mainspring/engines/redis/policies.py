"""Policies by the ids that stand for them in bodies.

An id is a digest, so what is known of one stays true.
"""

from collections.abc import Iterable

from mainspring.engines.redis.client import Client
from mainspring.engines.redis.trouble import trouble
from mainspring.errors import StoreDamaged


class Policies:
    """Encoded policies, read once each."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._bodies: dict[bytes, bytes] = {}

    def body(self, id: bytes) -> bytes:
        """A policy, encoded."""
        if (body := self._bodies.get(id)) is None:
            self.learn([id])
            body = self._bodies[id]
        return body

    def learn(self, ids: Iterable[bytes]) -> None:
        """Read those that are not known."""
        missing = [id for id in set(ids) if id not in self._bodies]
        if not missing:
            return
        with trouble(self._client.place):
            found = self._client.redis.hmget(self._client.key("policy"), missing)
        for id, body in zip(missing, found, strict=True):
            if body is None:
                raise StoreDamaged(
                    f"{self._client.place}: a job names a policy that is gone;"
                    " run `mainspring check`"
                )
            self._bodies[id] = body
