"""The contest: who takes part, in which order everything is measured, and what comes of it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.rivals import environment
from bench.rivals.contender import Contender
from bench.rivals.environment import Entry
from bench.rivals.errors import CannotRun, RivalFailed
from bench.rivals.kill_check import KillCheck
from bench.rivals.site import Site
from bench.rivals.stores import Stores

CACHE = Path(__file__).parents[2] / ".bench"
"""Where the environments are kept: in the project's root, ignored by git."""

JOBS = 10_000

Say = Callable[[str], None]


def run(
    names: Sequence[str] | None = None,
    jobs: int = JOBS,
    *,
    cache: Path = CACHE,
    say: Say = lambda line: None,
) -> list[dict[str, Any]]:
    """Measure these rivals (all, if None), `jobs` no-ops a drain; one dictionary for each.

    The rivals take turns at every workload, so that a disturbance hits them alike. One that falls
    over has the reason under `error` and keeps the figures it got. `say` is told the progress.
    Raises CannotRun for an unknown name, jobs below 1, or something that is not installed.
    """
    if jobs < 1:
        raise CannotRun(f"jobs must be 1 or more, not {jobs}")
    with lineup(names, cache=cache, say=say) as contenders:
        results = {one.name: one.describe() for one in contenders}

        def everyone(key: str, measure: Callable[[Contender], object]) -> None:
            for one in contenders:
                if "error" not in results[one.name]:
                    say(f"{one.name}: {key}")
                    results[one.name].update(attempt(key, measure, one))

        # Struck first and asked last: what is measured between is the time they need to notice.
        everyone("struck", lambda one: one.kill_check.strike())
        everyone("single_per_s", Contender.single)
        everyone("drain_1", lambda one: one.drain(jobs, processes=1))
        everyone("drain_2", lambda one: one.drain(jobs, processes=2))
        everyone("latency", Contender.latency)
        everyone("sleeps", Contender.sleeps)
        everyone("restarted", lambda one: one.kill_check.restart())
        everyone("survives_kill", lambda one: one.kill_check.survived())
    return list(results.values())


def attempt(
    key: str, measure: Callable[[Contender], object], contender: Contender
) -> dict[str, Any]:
    """The figure under its key, nothing if there is none, or why it could not be taken."""
    try:
        figure = measure(contender)
    except RivalFailed as failure:
        return {"error": f"{key}: {failure}"}
    return {} if figure is None else {key: figure}


@contextmanager
def lineup(
    names: Sequence[str] | None = None,
    *,
    running: Mapping[str, str] | None = None,
    cache: Path = CACHE,
    say: Say = lambda line: None,
) -> Iterator[list[Contender]]:
    """The rivals ready to be measured: installed, with empty stores and the servers they need.

    For runs that take turns with something else. `running` has the URLs of servers that are there
    already, by the kind of store ("redis", "postgres"). Raises CannotRun as `run` does.
    """
    wanted = dict.fromkeys(names or environment.names())
    entries = [environment.read_entry(name) for name in wanted]
    cache = environment.open_cache(cache)
    # Marks are kept in memory: a store that syncs its file would write them out as well.
    memory = Path("/dev/shm") if Path("/dev/shm").exists() else cache
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=cache)))
        marks = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=memory)))
        stores = stack.enter_context(Stores(running or {}))

        def open_site(entry: Entry, installed: Path, purpose: str) -> Site:
            folder = home / entry.name / purpose
            store = stores.make(entry.store, folder)
            marks_file = marks / f"{entry.name}-{purpose}"
            return stack.enter_context(Site(entry.name, installed, store, folder, marks_file))

        contenders = []
        for entry in entries:
            say(f"{entry.name}: environment")
            installed = environment.make(entry, cache)
            check = stack.enter_context(KillCheck(open_site(entry, installed, "killed")))
            contenders.append(Contender(entry, open_site(entry, installed, "measured"), check))
        yield contenders
