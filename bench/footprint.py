"""What a worker costs: memory and processor time at rest, the time to its first job, imports."""

import subprocess
import sys
import time

from bench.app import stamp
from bench.family import cpu_seconds, family
from bench.measure import ROOT, Figure, fresh, worker


def run(times: int) -> list[Figure]:
    """An idle worker with one child, after ten seconds of nothing."""
    pss, cpu = [], []
    for _ in range(min(times, 3)):
        with fresh() as app, worker(app) as process:
            app.enqueue(stamp.job()).result(timeout=10)
            time.sleep(1)
            pids = family(process.pid)
            start, spent = time.perf_counter(), sum(map(cpu_seconds, pids))
            time.sleep(10)
            spent = sum(map(cpu_seconds, pids)) - spent
            cpu.append(100 * spent / (time.perf_counter() - start))
            pss.append(sum(map(pss, pids)) / 1e6)
    return [
        Figure("idle worker, parent and one child, PSS", "MB", pss),
        Figure("idle worker, processor time", "%", cpu),
        Figure("`mainspring worker` to its first job", "ms", [_first_job() for _ in range(times)]),
        Figure("import mainspring", "ms", [_import_time() for _ in range(times)]),
    ]


def _first_job() -> float:
    with fresh() as app:
        job = app.enqueue(stamp.job())
        start = time.monotonic_ns()
        with worker(app):
            return (job.result(timeout=20) - start) / 1e6


def _import_time() -> float:
    """The import alone, in an interpreter of its own."""
    code = "import time; t = time.perf_counter(); import mainspring; print(time.perf_counter() - t)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    return float(out.stdout) * 1000


def pss(pid: int) -> int:
    """Proportional set size of a process, in bytes."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
