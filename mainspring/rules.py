"""Rules: what the settings of a queue mean for its messages, as this process knows them."""

import threading
import time
from typing import NamedTuple

from mainspring.errors import StoreUnavailable
from mainspring.job import NewJob, Policy
from mainspring.retry import Backoff
from mainspring.store import QueueInfo, Store

FRESH = 1.0
"""Seconds for which settings are believed."""

COST = 50
"""And for so many times as long as it took to read them."""


class Rule(NamedTuple):
    """Of one queue: the policy of messages that bring no retries of their own, and how long who
    takes one holds it (microseconds), unless he says."""

    policy: Policy
    lease: int


USUAL = Rule(NewJob(id=b"", task="", payload=b"").policy, QueueInfo(name="").ack_deadline)


class Rules:
    """The rules of all queues. A change by another process is known here within a second."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._infos: dict[str, QueueInfo] = {}
        self._rules: dict[str, Rule] = {}
        self._until = 0.0

    def of(self, queue: str) -> Rule:
        """The rule of this queue; reads the settings if it is time to."""
        if time.monotonic() >= self._until:
            with self._lock:
                if time.monotonic() >= self._until:
                    self._look()
        return self._rules.get(queue, USUAL)

    async def aof(self, queue: str) -> Rule:
        """The async twin of `of`."""
        if time.monotonic() < self._until:
            return self._rules.get(queue, USUAL)
        from asyncio import to_thread

        return await to_thread(self.of, queue)

    def forget(self) -> None:
        """Read the settings anew before the next answer."""
        self._until = 0.0

    def _look(self) -> None:
        began = time.monotonic()
        try:
            infos = {info.name: info for info in self.store.queues()}
        except StoreUnavailable:
            # Of several stores one may be away that has nothing to do with what is published:
            # whether the message can be stored is for its own insert to say.
            infos = self._infos
        # Who is told the same rule gets the same object: engines know policies by it.
        same = {name for name, info in infos.items() if self._infos.get(name) == info}
        rules = {name: rule for name, rule in self._rules.items() if name in same}
        for name, info in infos.items():
            if name not in same and (rule := _rule(info)) != USUAL:
                rules[name] = rule
        self._infos, self._rules = infos, rules
        now = time.monotonic()
        self._until = now + max(FRESH, COST * (now - began))


def _rule(info: QueueInfo) -> Rule:
    retry = Backoff(info.max_retries)
    if delays := info.retry_delays:
        longest = max(delays)
        retry = Backoff(info.max_retries, "list", 0, 1.0, longest, delays, jitter=False)
    policy = USUAL.policy if retry == USUAL.policy.retry else Policy(retry)
    return Rule(policy, info.ack_deadline)
