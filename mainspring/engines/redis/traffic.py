"""What waits in a queue, and what went through it."""

from mainspring.engines.common.traffic import traffic as of
from mainspring.engines.redis.client import Client
from mainspring.store import Traffic


def traffic(client: Client, name: str) -> Traffic:
    """All 0 for a queue that is not there."""
    here, left, consumers, (consumed, waited) = client.run("traffic", name, writes=False)
    sums = int(consumed or 0), int(waited or 0)
    return of(dict(enumerate(here)), dict(enumerate(left)), consumers, *sums)
