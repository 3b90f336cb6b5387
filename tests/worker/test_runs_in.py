"""Where a function runs, if its policy says so."""

import asyncio
import threading
from pathlib import Path

from mainspring import Mainspring, Tasks, current

tasks = Tasks()


@tasks.task(runs_in="process", memory="64MB")
def apart(x: int) -> int:
    return x + current().attempt


@tasks.task(runs_in="process")
async def awaited_apart(x: int) -> int:
    await asyncio.sleep(0)
    return x + current().attempt


@tasks.task(runs_in="thread")
async def awaited_on_a_thread(x: int) -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


@tasks.task
def plain() -> str:
    return threading.current_thread().name


def test_in_process_what_asks_for_a_process_runs_on_the_threads_and_coroutines_to_their_end(
    tmp_path: Path,
) -> None:
    with Mainspring(f"sqlite:///{tmp_path}/jobs.db", tasks) as app:
        numbers = [apart.enqueue(1), awaited_apart.enqueue(2)]
        names = [awaited_on_a_thread.enqueue(3), plain.enqueue()]
        with app.worker(in_process=True, threads=1):
            assert [job.result(timeout=15) for job in numbers] == [2, 3]
            assert len({job.result(timeout=15) for job in names}) == 1
