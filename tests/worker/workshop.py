"""An app whose tasks do as they are told. Imported by the tests and by the workers' children."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mainspring.app import Mainspring
from mainspring.context import Context, current
from mainspring.errors import Cancel, RateLimited, Reject, RetryAfter, Snooze
from mainspring.registry import Tasks
from mainspring.retry import Retry

tasks = Tasks()

AT_ONCE = Retry(max_retries=2, base=0.001, jitter=False)
ONCE = Retry(max_retries=0)

others: list[int] = []
"""One entry for each `nap` that runs."""

leftover: ContextVar[str] = ContextVar("leftover", default="nothing")


@tasks.task(aliases=["plus"])
def add(a: int, b: int = 1) -> int:
    return a + b


@tasks.task
async def aadd(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


@tasks.task(retry=AT_ONCE)
def fail_until(attempt: int) -> int:
    """Fails before this attempt."""
    if current().attempt < attempt:
        raise ValueError(f"attempt {current().attempt} failed on purpose")
    return current().attempt


@tasks.task(retry=AT_ONCE)
async def afail_until(attempt: int) -> int:
    return int(fail_until(attempt))


@tasks.task(retry=Retry(max_retries=5, base=0.001, never_on=(KeyError,)))
def raise_this(kind: str) -> None:
    """Raises something hostile."""
    match kind:
        case "KeyError":
            raise KeyError("never again")
        case "SystemExit":
            sys.exit(3)
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
        case "mute":
            raise Mute
        case "circle":
            error = ValueError("in a circle")
            error.__cause__ = ValueError("the other half")
            error.__cause__.__cause__ = error
            raise error
        case "deep":
            raise_this(kind)
        case "huge":
            raise ValueError("x" * 10_000_000)
        case "surrogate":
            raise ValueError("\ud800")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I will not say")


@tasks.task
def unstorable() -> object:
    return threading.Lock()


def _steer(how: str, delay: float) -> None:
    match how:
        case "snooze":
            raise Snooze(delay)
        case "retry":
            raise RetryAfter(delay, "the other side said so")
        case "limited":
            raise RateLimited(delay)
        case "cancel":
            raise Cancel("no longer needed")
        case "reject":
            raise Reject("no good")
        case "bad snooze":
            raise Snooze(-1)


@tasks.task(retry=Retry(max_retries=1, base=0.001))
def steer(how: str, delay: float = 0.001) -> int:
    """Steers at its first claim and returns its attempt at the second."""
    if current().claims == 1:
        _steer(how, delay)
    return current().attempt


@tasks.task(retry=Retry(max_retries=1, base=0.001))
async def steer_group(how: str, mixed: bool = False) -> int:
    """The same from within a task group."""
    if current().claims == 1:
        async with asyncio.TaskGroup() as group:
            group.create_task(_asteer(how))
            if mixed:
                group.create_task(_araise())
    return current().attempt


async def _asteer(how: str) -> None:
    _steer(how, 0.001)


async def _araise() -> None:
    raise ValueError("a real error beside it")


def _give_up(attempt: int, error: BaseException) -> float:
    sys.exit("a backoff that ends its thread")


@tasks.task(retry=Retry(max_retries=1, base=0.001, backoff=_give_up))
def fail_and_exit() -> int:
    return int(fail_until(2))


# --- gates: the job says that it is there, and goes on when it is let go ------------------------


def _enter(gate: str) -> None:
    with open(f"{gate}.here", "w"):
        pass  # opening a pipe for writing waits for its reader


def _wait(gate: str) -> None:
    with open(f"{gate}.go") as pipe:
        pipe.read()


@tasks.task
def compute(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@tasks.task(retry=Retry(max_retries=1, base=0.001))
def gated(gate: str) -> int:
    _enter(gate)
    _wait(gate)
    return current().attempt


@tasks.task(retry=Retry(max_retries=1, base=0.001))
def gated_by_attempt(gates: list[str]) -> int:
    """Each attempt has a gate of its own."""
    attempt = current().attempt
    _enter(gates[attempt - 1])
    _wait(gates[attempt - 1])
    return attempt


@tasks.task(retry=Retry(max_retries=1, base=0.001))
async def agated(gate: str) -> int:
    await asyncio.to_thread(_enter, gate)
    await asyncio.to_thread(_wait, gate)
    return current().attempt


@tasks.task(retry=ONCE)
def until_cancelled(gate: str) -> str:
    """A thread that looks whether it is to stop."""
    _enter(gate)
    while not current().cancelled:
        time.sleep(0.005)
    raise Cancel("as asked")


@tasks.task(retry=ONCE)
async def forever(gate: str, note: str) -> None:
    """A coroutine that only ends by being cancelled, and leaves a note when it is."""
    await asyncio.to_thread(_enter, gate)
    try:
        await asyncio.Event().wait()
    finally:
        Path(note).write_text("cleaned up")  # noqa: ASYNC240 - it must not be cancelled


@tasks.task(timeout=0.1, retry=ONCE)
async def slow_coroutine() -> None:
    await asyncio.Event().wait()


@tasks.task(timeout=0.1, retry=ONCE)
async def stubborn_coroutine() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


@tasks.task(timeout=0.1, retry=ONCE)
def slow_thread(gate: str) -> None:
    _wait(gate)


# --- death ---------------------------------------------------------------------------------------


@tasks.task(retry=Retry(max_retries=3, base=0.001, jitter=False))
def die(how: str) -> None:
    match how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)


@tasks.task(retry=Retry(max_retries=1, base=0.001))
def die_once(gate: str) -> int:
    """Kills its process at the first attempt, once it is let go."""
    if current().attempt == 1:
        _enter(gate)
        _wait(gate)
        os.kill(os.getpid(), signal.SIGKILL)
    return current().attempt


@tasks.task(retry=Retry(max_retries=1, base=0.001))
def fork_and_die(gate: str, fork: str) -> int:
    """The first attempt leaves a fork of its process behind, which waits at the other gate."""
    if current().attempt == 1:
        _enter(gate)
        if os.fork() == 0:
            _wait(fork)
            os._exit(0)
        _wait(gate)
        os.kill(os.getpid(), signal.SIGKILL)
    return current().attempt


@tasks.task(retry=ONCE)
def fork_and_return() -> int:
    """Its copy comes back, too. How the copy ended."""
    return _status_of(fork) if (fork := os.fork()) else 0


@tasks.task(retry=ONCE)
async def afork_and_return(suspend: bool) -> int:
    if fork := os.fork():
        return await asyncio.to_thread(_status_of, fork)
    if suspend:
        await asyncio.sleep(0)
    return 0


@tasks.batch(size=2, wait=0.01, retry=ONCE)
def fork_batch(items: list[int]) -> list[int]:
    fork = os.fork()
    return [_status_of(fork) if fork else 0] * len(items)


def _status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@tasks.task(retry=ONCE)
def terminate() -> int | None:
    """How a process that was forked off by a library ends when it is told to."""
    process = get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(10)
    return process.exitcode


@tasks.task(retry=ONCE)
def mark(path: str) -> None:
    """Leaves one byte for each time it runs."""
    with open(path, "a") as file:
        file.write("x")


@tasks.task
def sign(path: str, name: str) -> None:
    """Leaves its name when it runs."""
    with open(path, "a") as file:
        file.write(name)


@tasks.task(retry=Retry(max_retries=5, base=0.001))
def alone() -> int:
    """Fails unless it is the only job that runs in this process."""
    time.sleep(0.05)
    if others:
        raise RuntimeError("not alone")
    return current().attempt


@tasks.task
def pid() -> int:
    return os.getpid()


@tasks.task
def nap(seconds: float) -> None:
    others.append(1)
    time.sleep(seconds)
    others.pop()


@tasks.task
def hold_the_gil(seconds: float) -> None:
    """Keeps every other thread of its process from running."""
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


@tasks.task
def leave_thread() -> None:
    """Leaves a thread behind for which the interpreter waits at its end."""
    threading.Thread(target=threading.Event().wait, args=(60,), daemon=False).start()


@tasks.task
def handlers() -> str:
    """What a program started by a task does about SIGINT and SIGTERM."""
    code = (
        "import signal as s;"
        "print(*('default' if s.getsignal(n) in (s.SIG_DFL, s.default_int_handler) else 'other'"
        " for n in (s.SIGINT, s.SIGTERM)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


# --- saying things -------------------------------------------------------------------------------


@tasks.task
def tell(steps: int) -> None:
    for step in range(steps):
        current().log(f"step {step}", of=steps)
        current().progress(100 * (step + 1) / steps, f"step {step}")


@tasks.task
def tell_and_wait(gate: str) -> None:
    current().progress(50, "half")
    _enter(gate)
    _wait(gate)


@tasks.task
def leave_behind() -> str:
    found = leftover.get()
    leftover.set("something")
    return found


@tasks.task
async def aleave_behind() -> str:
    found = leftover.get()
    leftover.set("something")
    await asyncio.sleep(0)
    return found


@tasks.task
def chain(gate: str) -> str:
    """Enqueues another job into the app that runs it."""
    return str(add.enqueue(1, 2).id)


@tasks.task
async def achain() -> str:
    return str((await add.aenqueue(1, 2)).id)


@tasks.task
def describe(*, context: Context) -> dict[str, Any]:
    return {
        "task": context.task,
        "queue": context.queue,
        "attempt": context.attempt,
        "worker": context.worker,
        "current": current() is context,
    }


# --- transactions --------------------------------------------------------------------------------


@tasks.task(retry=AT_ONCE)
def transact(fails_at: str = "") -> str:
    """Writes a row of its own and completes in the same transaction."""
    with current().transaction(result="together") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS effect(attempt)")
        connection.execute("INSERT INTO effect VALUES(?)", (current().attempt,))
        if fails_at == "inside" and current().attempt == 1:
            raise ValueError("inside the transaction")
    if fails_at == "after":
        raise ValueError("after the transaction")
    return "alone"


# --- batches -------------------------------------------------------------------------------------


@tasks.batch(size=10, wait=0.05, retry=ONCE)
def square(items: list[int]) -> list[int | Exception]:
    return [ValueError("negative") if item < 0 else item * item for item in items]


@tasks.batch(size=10, wait=0.05)
def count(items: list[int]) -> list[int]:
    """How many came together."""
    return [len(items)] * len(items)


@tasks.batch(size=4, wait=0.01, retry=ONCE)
def break_batch(items: list[int]) -> None:
    raise ValueError("all of them")


@tasks.batch(size=4, wait=0.01, timeout=0.1, retry=ONCE)
def slow_batch(items: list[str]) -> None:
    _wait(items[0])


@tasks.batch(size=4, wait=0.01, retry=ONCE)
def patient_batch(items: list[str]) -> None:
    _wait(items[0])


@tasks.batch(size=4, wait="1h")
def slow_to_gather(items: list[int]) -> None:
    pass


# --- middleware ----------------------------------------------------------------------------------

wrapped = Tasks("wrapped")
around: ContextVar[str] = ContextVar("around", default="")


@wrapped.middleware
@contextmanager
def _outer(context: Context) -> Iterator[None]:
    token = around.set(f"outer({context.task}) ")
    try:
        yield
    finally:
        around.reset(token)


@wrapped.middleware
@contextmanager
def _inner(context: Context) -> Iterator[None]:
    around.set(around.get() + "inner")
    try:
        yield
    except LookupError:
        return  # swallowed


@wrapped.batch(size=10, wait=0.01)
def count_within(items: list[int]) -> list[str]:
    return [around.get()] * len(items)


@wrapped.task
def look() -> str:
    return around.get()


@wrapped.task
async def alook() -> str:
    await asyncio.sleep(0)
    return around.get()


@wrapped.task(retry=ONCE)
def stumble(kind: str) -> None:
    raise LookupError(kind) if kind == "lookup" else ValueError(kind)


tasks.include(wrapped)

app = Mainspring(os.environ.get("WORKSHOP_URL", "sqlite://:memory:"), tasks)


@tasks.task
def cancel_with_surrogate() -> None:
    """A reason with a file name that is not UTF-8."""
    raise Cancel("no such file: " + os.fsdecode(b"caf\xe9.txt"))


@tasks.task
async def leave_timer(seconds: float) -> None:
    """Ends before the time limit it made for itself."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(seconds, task.cancel)


@tasks.task(retry=Retry(max_retries=3, base=0.001))
async def asleep(seconds: float) -> None:
    await asyncio.sleep(seconds)
