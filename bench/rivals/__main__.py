"""The command line: measure the rivals and print a table, or JSON for machines."""

import argparse
import json
import os
import platform
import signal
import sys
from pathlib import Path

from bench.rivals import contest, environment, report
from bench.rivals.errors import CannotRun, RivalFailed


def main() -> int:
    """0 when all was measured, 1 when a rival fell over, 2 when nothing could be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that all is shut down
    options = parse()
    names = options.only.split(",") if options.only else None
    load = os.getloadavg()[0]
    try:
        results = contest.run(names, options.jobs, cache=options.cache, say=progress)
    except CannotRun as reason:
        print(f"bench.rivals: {reason}", file=sys.stderr)
        return 2
    except RivalFailed as reason:
        print(f"bench.rivals: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        conditions = {"python": platform.python_version(), "cores": os.cpu_count(), "load": load}
        print(json.dumps({**conditions, "jobs": options.jobs, "rivals": results}, indent=2))
    else:
        print(
            f"{options.jobs:,} no-ops of about 100 bytes, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores, load before the start {load:.1f}\n"
        )
        print(report.table(results, options.jobs))
    return 1 if any("error" in result for result in results) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rivals",
        description="Measure other task queues under the same workloads. Takes about 10 minutes; "
        "the first run also installs them, each into an environment of its own.",
    )
    parser.add_argument(
        "--only", metavar="NAMES", help=f"of {','.join(environment.names())} (default: all)"
    )
    parser.add_argument(
        "--jobs", type=int, default=contest.JOBS, help="no-ops a drain (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--cache", type=Path, default=contest.CACHE, help="where the environments are kept"
    )
    return parser.parse_args()


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
