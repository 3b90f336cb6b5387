"""`python -m bench [NAME ...]`: measure; a line per figure with median, spread and n."""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from functools import partial

from bench import (
    beside,
    crowd,
    depth,
    drain,
    endurance,
    enqueue,
    footprint,
    hogs,
    laggards,
    latency,
    processes,
    remote,
    server,
    sustained,
    topics,
)
from bench.measure import Figure, fresh, stores
from bench.places import PLACES

BENCHMARKS = {
    "enqueue": enqueue.run,
    "drain": drain.run,
    "latency": latency.run,
    "sleepers": latency.sleepers,
    "footprint": footprint.run,
    "hogs": hogs.run,
    "processes": processes.run,
    "endurance": endurance.run,
    "depth": depth.run,
    "server": server.run,
    "topics": topics.run,
    "crowd": crowd.run,
    "laggards": laggards.run,
    "remote": remote.run,
    "rivals": beside.run,
    "sustained": sustained.run,
}

LONG = {"rivals", "sustained", "endurance"}
"""Measured only when they are named."""


def main() -> None:
    about = [f"  {name:<10} {told(plan)}" for name, plan in BENCHMARKS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join([*about, "", f"Only when they are named: {', '.join(sorted(LONG))}."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of those below")
    parser.add_argument("--times", type=int, default=5, help="repetitions (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON value instead")
    parser.add_argument("--store", choices=PLACES, default="sqlite", help="(default: sqlite)")
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="length of `sustained` (default 120)"
    )
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"expected {', '.join(BENCHMARKS)}, got {', '.join(sorted(unknown))}")
    plans = BENCHMARKS | {"sustained": partial(sustained.run, seconds=asked.seconds)}
    results = []
    with stores(asked.store), fresh() as app:
        health = app.health()
        about = (
            f"Python {platform.python_version()}, {health.engine} {health.version},"
            f" {health.durability}, 100-byte arguments"
        )
        print(about, file=sys.stderr)
        for name in asked.names or [each for each in BENCHMARKS if each not in LONG]:
            for figure in plans[name](asked.times):
                results.append(figure.plain())
                print(figure.line(), file=sys.stderr if asked.json else sys.stdout, flush=True)
    if asked.json:
        print(json.dumps({"about": about, "figures": results}, indent=1))


def told(plan: Callable[[int], list[Figure]]) -> str:
    """What it measures, as it says itself."""
    return (plan.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    main()
