"""The drain beside the rivals, in one run and in turn: the ratio holds on a noisy machine."""

from bench.app import noop
from bench.drain import drain
from bench.measure import Figure
from bench.rivals.contest import attempt, lineup

RIVAL_JOBS = 10_000
JOBS = 100_000


def run(times: int) -> list[Figure]:
    """Two worker processes each; a rival's own best settings (see `bench.rivals`)."""
    ours = Figure("drain sync no-ops, 2 children, in turn with rivals", "jobs/s", [])
    with lineup() as rivals:
        theirs = {rival.name: Figure(f"drain, {rival.name}", "jobs/s", []) for rival in rivals}
        for _ in range(times):
            ours.runs.append(drain(noop, 2, JOBS))
            for rival in rivals:
                told = attempt("drain", lambda one: one.drain(RIVAL_JOBS, processes=2), rival)
                if "drain" in told:
                    theirs[rival.name].runs.append(told["drain"]["jobs_per_s"])
                else:
                    theirs[rival.name].note = told.get("error", "")
    measured = [figure for figure in theirs.values() if figure.runs]
    for figure in measured:
        figure.beside = {"mainspring is faster by": ours.median / figure.median}
    return [ours, *measured]
