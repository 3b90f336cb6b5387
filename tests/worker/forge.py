"""An app whose tasks run in processes of their own, most of them badly behaved."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mainspring.app import Mainspring
from mainspring.context import current
from mainspring.errors import Interrupted
from mainspring.registry import Tasks
from mainspring.retry import Retry

tasks = Tasks()

ONCE = Retry(max_retries=0)
AT_ONCE = Retry(max_retries=2, base=0.001, jitter=False)


@tasks.task(runs_in="process")
def pid() -> int:
    return os.getpid()


@tasks.task
def shared_pid() -> int:
    return os.getpid()


@tasks.task(runs_in="process")
async def apid() -> int:
    await asyncio.sleep(0)
    return os.getpid()


@tasks.task(runs_in="process")
def inherited(store: str) -> list[str]:
    """Files that this process has open, of those that the worker has open on its store."""
    found = [str(link.resolve()) for link in Path("/proc/self/fd").iterdir()]
    return [path for path in found if path.startswith(store)]


@tasks.task(runs_in="process", retry=ONCE)
def talk(lines: int) -> None:
    for number in range(lines):
        print(f"line {number}")
    sys.stderr.write("an error\n")
    subprocess.run(["echo", "a program"], check=True)
    os.write(1, b"raw \xff bytes, no end of line")


@tasks.task(runs_in="process", retry=ONCE)
def talk_and_wait(gate: str) -> None:
    print("before the gate", flush=True)
    meet(gate)


@tasks.task(runs_in="process", retry=ONCE)
def flood(megabytes: int) -> int:
    line = b"x" * 99 + b"\n"
    for _ in range(megabytes):
        os.write(1, line * 10_000)
    return megabytes


@tasks.task(runs_in="process", retry=ONCE)
def flood_a_line(size: int, gate: str) -> None:
    os.write(1, b"x" * size)
    meet(gate)


@tasks.task(runs_in="process", retry=AT_ONCE)
def die(how: str) -> None:
    print(f"dies by {how}")
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), 9)
        case "stack":
            sys.setrecursionlimit(10**9)
            ctypes.pythonapi.PyObject_Repr(ctypes.py_object(_nested()))


def _nested() -> list[object]:
    nested: list[object] = []
    for _ in range(1_000_000):
        nested = [nested]
    return nested


@tasks.task(runs_in="process", retry=ONCE, timeout=0.3)
def outlast(how: str) -> str:
    """Goes beyond its time limit."""
    try:
        if how == "in C":
            ctypes.PyDLL(None).sleep(60)  # holds the interpreter all the while
        while how == "computing":
            pass
        time.sleep(60)
    except Interrupted as why:
        if how == "deaf":
            time.sleep(60)
        if how == "yielding":
            return why.reason
        raise
    return "came through"


@tasks.task(runs_in="process", retry=ONCE, timeout=0.3)
def run_program(pid: str) -> None:
    """Waits for a program that ends when it is told to, and goes on for ever itself."""
    with subprocess.Popen(["sleep", "300"]) as program:
        Path(pid).write_text(str(program.pid))
        while True:
            with contextlib.suppress(BaseException):
                program.wait()


@tasks.task(runs_in="process", retry=ONCE)
def wait(gate: str, deaf: bool = False) -> None:
    try:
        meet(gate)
        time.sleep(60)
    except Interrupted as why:
        Path(f"{gate}.told").write_text(why.reason)
        if deaf:
            time.sleep(60)
        raise


@tasks.task(runs_in="process", retry=AT_ONCE)
def wait_once(gate: str) -> int:
    """Waits at the gate in its first claim only."""
    if current().claims == 1:
        meet(gate)
        time.sleep(60)
    return current().attempt


@tasks.task(runs_in="process", retry=ONCE, memory="64MB")
def grow() -> None:
    held = []
    while True:
        held.append(bytes(range(256)) * 10_000)
        time.sleep(0.001)


@tasks.task(runs_in="process")
def work(marks: str) -> None:
    """Something that takes a moment, and leaves a mark."""
    time.sleep(0.002)
    with open(marks, "a") as file:
        file.write("x")


@tasks.task(runs_in="process", retry=AT_ONCE)
def crash_once() -> None:
    if current().claims == 1:
        os._exit(1)


@tasks.task(runs_in="process", retry=ONCE, memory="64MB")
def start_hungry_program() -> None:
    code = "import time; held = bytes(range(256)) * 800_000; time.sleep(60)"
    subprocess.run([sys.executable, "-c", code], check=False)


@tasks.task(runs_in="process")
def add(a: int, b: int) -> int:
    return a + b


def meet(gate: str) -> None:
    """Tell that the job is here, and wait to be let go."""
    with open(f"{gate}.here", "w"):
        pass
    with open(f"{gate}.go") as pipe:
        pipe.read()


@tasks.task(runs_in="process", retry=ONCE)
def spoil(what: str) -> int:
    """Leaves its process in a state that the next job must not suffer from."""
    match what:
        case "no stdout":
            sys.stdout = None  # type: ignore[assignment]
        case "odd stdout":
            sys.stdout = object()  # type: ignore[assignment]
        case "closed stdout":
            sys.stdout.close()
        case "signals":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        case "fork":
            if os.fork():
                os.wait()
    return os.getpid()


@tasks.task(runs_in="process", retry=ONCE)
def print_later(path: str) -> None:
    """A program that it leaves behind prints when the job has ended."""
    wait = f"while [ ! -e {path}.ended ]; do sleep 0.01; done"
    subprocess.Popen(["sh", "-c", f"{wait}; echo late; : > {path}.printed"])


@tasks.task(runs_in="process", retry=ONCE)
def say(text: str) -> None:
    print(text)


app = Mainspring(os.environ.get("WORKSHOP_URL", "sqlite:///unused.db"), tasks)
