"""`python -m bench [NAME ...]`: measure; a line per figure with median, spread and n."""

import argparse
import json
import platform
import sqlite3
import sys

from bench import beside, depth, drain, enqueue, footprint, hogs, latency
from bench.measure import ROOT

BENCHMARKS = {
    "enqueue": enqueue.run,
    "drain": drain.run,
    "latency": latency.run,
    "sleepers": latency.sleepers,
    "footprint": footprint.run,
    "hogs": hogs.run,
    "depth": depth.run,
    "rivals": beside.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--times", type=int, default=5, help="repetitions (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON value instead")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"expected {', '.join(BENCHMARKS)}, got {', '.join(sorted(unknown))}")
    (ROOT / ".bench").mkdir(exist_ok=True)
    about = (
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, WAL,"
        " synchronous=FULL, 100-byte arguments"
    )
    print(about, file=sys.stderr)
    results = []
    for name in asked.names or [each for each in BENCHMARKS if each != "rivals"]:
        for figure in BENCHMARKS[name](asked.times):
            results.append(figure.plain())
            print(figure.line(), file=sys.stderr if asked.json else sys.stdout, flush=True)
    if asked.json:
        print(json.dumps({"about": about, "figures": results}, indent=1))


if __name__ == "__main__":
    main()
