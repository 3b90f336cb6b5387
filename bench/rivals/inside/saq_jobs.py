"""SAQ on whichever store: the queue differs, everything else is the same."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from loop import gather, wait
from rival import Use
from saq import Job, Queue
from workload import COROUTINES

TIMEOUT = 10
CONCURRENCY = 100
SLEEPERS = 1000
AT_ONCE = 100


def function(name: str) -> tuple[str, Any]:
    async def run(context: object, *, number: int, text: str) -> None:
        await COROUTINES[name](number, text)

    return name, run


def settings(queue: Queue, concurrency: int) -> dict[str, Any]:
    """Those of a worker, as SAQ's command takes them."""
    functions = [function(name) for name in COROUTINES]
    timers = {"sweep": 1}
    return {
        "queue": queue,
        "functions": functions,
        "concurrency": concurrency,
        "timers": timers,
    }


class Saq:
    recovery = (
        "enqueued with retries=3: taken back when the time limit of the job (10 s) is over, "
        "by a sweep every second (default 60 s)"
    )
    reclaim_after = TIMEOUT + 5.0
    bulk = f"{AT_ONCE} single calls at once (there is no bulk call)"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": f"1 process, {CONCURRENCY} coroutines, jobs not kept",
        "two": f"2 processes, {CONCURRENCY} coroutines each, jobs not kept",
        "sleeps": f"2 processes, {SLEEPERS} coroutines each, jobs not kept",
    }

    def __init__(self, queue: Queue, module: str) -> None:
        self.queue = queue
        self._module = module

    def enqueue(self, task: str, number: int, text: str) -> None:
        wait(self._enqueue(task, number, text))

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        wait(gather((self._enqueue(task, number, text) for number in numbers), AT_ONCE))

    async def _enqueue(self, task: str, number: int, text: str) -> None:
        arguments = {"number": number, "text": text}
        await self.queue.enqueue(
            Job(function=task, kwargs=arguments, timeout=TIMEOUT, retries=3, ttl=-1)
        )

    def workers(self, use: Use) -> list[list[str]]:
        settings = f"{self._module}.{'sleepers' if use == 'sleeps' else 'workers'}"
        return [["saq", settings, "--quiet"]] * (1 if use == "one" else 2)
