"""Mixed faults against a mixed load, and a page that says what came of it.

    python3 dev.py chaos [--minutes 10] [--store sqlite|postgres|redis|valkey|http|all] [--seed N]

The exit status is 1 if a promise was broken, or if nothing that was done had any effect.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mainspring
from tests.crash.arena import Arena, arena, until
from tests.crash.history import read
from tests.crash.judge import Verdict, judge
from tests.crash.load import loaded
from tests.crash.nemesis import ENGINES, Nemesis, engine
from tests.servers import at_end

DRAIN = 90
"""Seconds after the last fault in which everything must have been worked off."""
SHOWN = 20


@dataclass
class Outcome:
    """What came of one engine under fire."""

    engine: str
    version: str
    verdict: Verdict
    stale: int
    """Ends that came too late and were refused."""
    log: str

    @property
    def passed(self) -> bool:
        return not self.verdict.broken and self.verdict.is_evidence


def chaos(name: str, folder: Path, seconds: float, seed: int) -> Outcome:
    """Put one engine under fire for so many seconds, let it work everything off, and judge."""
    with engine(name, folder) as under_fire, arena(folder, under_fire.url) as place:
        nemesis = Nemesis(place, under_fire, seed)
        chance = random.Random(seed + 1)
        nemesis.start()
        place.wait_until_running(len(place.workers))
        with loaded(place, seed + 2, under_fire.inexact):
            for _ in until(seconds):
                time.sleep(chance.uniform(0.2, 1.0))
                nemesis.strike()
        return _outcome(name, place, nemesis)


def _outcome(name: str, place: Arena, nemesis: Nemesis) -> Outcome:
    done = place.app.wait_until_idle(timeout=DRAIN)
    verdict = judge(read(place.history), place.ended())
    verdict.broken += nemesis.ended
    verdict.broken += [f"check: {words}" for words in place.app.check()]
    if not done:
        verdict.broken.append(f"not worked off in {DRAIN} s: {place.app.counts()}")
    health = place.app.health()
    log = place.log.read_text(errors="replace")
    version = health.version.partition(" (")[0]
    return Outcome(name, version, verdict, place.refused_ends(), log)


def page(outcomes: list[Outcome], seconds: float, seed: int) -> str:
    """The report."""
    lines = [
        f"mainspring {mainspring.__version__}, Python {platform.python_version()},"
        f" {platform.system()} {platform.release()}, {os.cpu_count()} processors",
        f"{seconds:g} s each, seed {seed}",
        "",
        "L lost · C accepted twice · U run again without a reason · D run again after a fault",
        "R seconds from a job's first loss to its next run, median / longest"
        " · A longest gap between inserts",
        "",
        f"{'':24}{'jobs':>7}{'runs':>7}{'L':>4}{'C':>4}{'U':>4}{'D':>6}{'refused':>9}"
        f"{'R':>14}{'A':>8}",
    ]
    for each in outcomes:
        v = each.verdict
        r = v.recoveries or [0.0]
        recovery = f"{statistics.median(r):.2f} / {max(r):.2f}"
        lines.append(
            f"{each.version:24}{v.inserted:>7}{v.begun:>7}{v.lost:>4}"
            f"{v.doubled:>4}{v.unexplained:>4}{v.again:>6}{each.stale:>9}{recovery:>14}"
            f"{v.gap:>8.2f}"
        )
    for each in outcomes:
        v = each.verdict
        lines += ["", f"{each.engine}: {v.faults} faults; of those that made something run again:"]
        lines += [f"  {times:4} x {who}" for who, times in v.bit.most_common()]
        if not v.is_evidence:
            lines.append("  none: this run is NO EVIDENCE")
        lines += [f"  BROKEN {words}" for words in v.broken[:SHOWN]]
        if len(v.broken) > SHOWN:
            lines.append(f"  and {len(v.broken) - SHOWN} more")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for each store")
    parser.add_argument("--store", choices=[*ENGINES, "all"], default="all")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    chosen = parser.parse_args()
    names = list(ENGINES) if chosen.store == "all" else [chosen.store]
    outcomes = []
    for name in names:
        print(f"{name}: {chosen.minutes:g} minutes under fire, seed {chosen.seed}", file=sys.stderr)
        folder = Path(tempfile.mkdtemp(prefix=f"mainspring-chaos-{name}-"))
        outcomes.append(chaos(name, folder, chosen.minutes * 60, chosen.seed))
        if outcomes[-1].passed:
            shutil.rmtree(folder)
        else:
            print(f"{name}: history and logs are kept in {folder}", file=sys.stderr)
    at_end.close()
    print(page(outcomes, chosen.minutes * 60, chosen.seed))
    return 0 if all(each.passed for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
