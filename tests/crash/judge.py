"""The judge: holds a history and what the store tells at its end against the promises.

It knows no store and no worker, and convicts only what no honest run could have shown: of two
things of which one was not surely first, it says nothing.
"""

import itertools
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.crash.history import Ended

Fact = dict[str, Any]
FINAL = ("completed", "failed", "cancelled")
SECOND = 1_000_000_000


@dataclass
class Verdict:
    """Sentences about broken promises (none is good), and how much was seen.

    `again` counts repeated executions that a fault explains, `recoveries` are the seconds from the
    first such fault of a job to its next execution (one that was lost twice is suspected, and waits
    until it can run alone), `gap` is the longest time without an acknowledged insert, `bit`
    counts, by what was done, the faults that made something run again, and `unwritten`, by moment,
    those that ended first executions before their function could write down that it began.
    """

    broken: list[str] = field(default_factory=list)
    inserted: int = 0
    begun: int = 0
    again: int = 0
    faults: int = 0
    refused: int = 0
    lost: int = 0
    doubled: int = 0
    unexplained: int = 0
    recoveries: list[float] = field(default_factory=list)
    gap: float = 0.0
    bit: Counter[str] = field(default_factory=Counter)
    unwritten: Counter[int] = field(default_factory=Counter)

    @property
    def is_evidence(self) -> bool:
        """Whether a fault had any effect: a run that nothing disturbed proves nothing."""
        return self.again > 0 or self.refused > 0


class Run(NamedTuple):
    """A function began."""

    mark: str
    claim: int | None
    t: int
    pid: int | None
    parent: int | None
    wall: float | None
    attempt: int | None


class Fault(NamedTuple):
    """Harm, from one moment to another, to these processes or (None) to everybody."""

    start: int
    end: int
    hits: frozenset[int] | None
    who: str

    def met(self, run: Run) -> bool:
        return self.hits is None or run.pid is None or bool(self.hits & {run.pid, run.parent})


class History:
    """The facts, sorted by what they are about."""

    def __init__(self, facts: list[Fact], ended: Iterable[Ended]) -> None:
        self.inserted = [fact for fact in facts if fact["op"] == "inserted"]
        self.tried = {f["mark"] for f in facts if f["op"] in ("inserting", "inserted")}
        self.refused = sum(fact["op"] == "refused" for fact in facts)
        self.seen = [fact for fact in facts if fact["op"] == "seen"]
        self.jobs = defaultdict(list)
        for job in ended:
            self.jobs[job.mark].append(job)
        self.runs = defaultdict(list)
        self.ends = defaultdict(list)
        self.raised = defaultdict(list)
        for fact in facts:
            if fact["op"] == "begin":
                self.runs[fact["mark"]].append(_run(fact))
            elif fact["op"] == "end":
                self.ends[fact["mark"]].append(fact)
            elif fact["op"] == "raised":
                self.raised[fact["mark"]].append(fact)
        healed = {fact["of"]: fact["t"] for fact in facts if fact["op"] == "healed"}
        self.faults = [
            Fault(t, healed.get(t, t), None if hits is None else frozenset(hits), str(who))
            for t, hits, who in (
                (f["t"], f.get("hits"), f.get("who", "")) for f in facts if f["op"] == "fault"
            )
        ]

    def fault_between(self, run: Run, after: Run) -> Fault | None:
        """What may have kept the first of two executions from counting."""
        # One that stood still may have begun only when the other had done so already.
        first, last = sorted((run.t, after.t))
        for fault in self.faults:
            if fault.start < last and fault.end > first and fault.met(run):
                return fault
        return None

    def fault_before(self, run: Run, since: int) -> Fault | None:
        """What ended the first execution, begun at `since` or later, if that was too short to be
        written down: this is the first that was."""
        if run.attempt is None or run.attempt == 1:
            return None
        lost = [1 in job.lost_attempts for job in self.jobs[run.mark]]
        faults = (fault for fault in self.faults if fault.end > since and fault.start < run.t)
        return next(faults, None) if any(lost) else None


def _run(fact: Fact) -> Run:
    get = fact.get
    where = get("pid"), get("parent")
    return Run(fact["mark"], get("claim"), fact["t"], *where, get("wall"), get("attempt"))


def judge(facts: list[Fact], ended: list[Ended]) -> Verdict:
    """Hold the history against the promises."""
    history, verdict = History(facts, ended), Verdict()
    verdict.inserted, verdict.faults = len(history.inserted), len(history.faults)
    verdict.refused = history.refused
    verdict.begun = sum(map(len, history.runs.values()))
    for check in (
        _no_loss, _one_end, _attempts, _reasons, _final, _not_early, _parents_first, _one_holder,
        _order,
    ):  # fmt: skip
        check(history, verdict)
    times = [fact["t"] for fact in history.inserted]
    verdict.gap = max((b - a for a, b in itertools.pairwise(times)), default=0) / SECOND
    return verdict


def _no_loss(history: History, verdict: Verdict) -> None:
    """What was acknowledged is there, once, and has ended; what is there was asked for."""
    for fact in history.inserted:
        mark, found = fact["mark"], history.jobs[fact["mark"]]
        if len(found) != 1:
            verdict.lost += not found
            verdict.broken.append(f"{mark}: acknowledged once, {len(found)} jobs in the store")
        for job in found:
            if job.state not in FINAL:
                verdict.lost += 1
                verdict.broken.append(f"{mark}: still {job.state} after everything was worked off")
            if job.state == "completed" and not history.ends[mark]:
                verdict.lost += 1
                verdict.broken.append(f"{mark}: completed, but its function never reached its end")
    verdict.broken += [
        f"{mark}: in the store, but nobody asked for it"
        for mark, found in history.jobs.items()
        if found and mark not in history.tried
    ]


def _one_end(history: History, verdict: Verdict) -> None:
    """Of one attempt one end was accepted, and never one from before the last claim."""
    for job in itertools.chain.from_iterable(history.jobs.values()):
        ends = len(job.errors) + (job.state == "completed")
        # A cancelled job may have been so while it ran.
        spare = job.state == "cancelled" and job.attempt - ends == 1
        if ends != job.attempt and not spare:
            verdict.doubled += ends > job.attempt
            verdict.broken.append(
                f"{job.mark}: {job.attempt} attempts, but {ends} accepted ends of one"
            )
        for attempt, times in Counter(job.failed_attempts).items():
            if times > 1:
                verdict.doubled += 1
                verdict.broken.append(f"{job.mark}: attempt {attempt} ended {times} times")
        if job.accepted is None:
            continue
        if job.accepted != job.claims:
            verdict.doubled += 1
            verdict.broken.append(
                f"{job.mark}: the end under claim {job.accepted} was accepted after claim"
                f" {job.claims}"
            )
        if job.accepted not in {end.get("claim") for end in history.ends[job.mark]}:
            verdict.broken.append(f"{job.mark}: no function ended under claim {job.accepted}")


def _attempts(history: History, verdict: Verdict) -> None:
    for job in itertools.chain.from_iterable(history.jobs.values()):
        runs = len(history.runs[job.mark])
        if job.attempt > job.max_retries + 1:
            verdict.broken.append(
                f"{job.mark}: {job.attempt} attempts, {job.max_retries + 1} are allowed"
            )
        if runs > job.attempt:
            verdict.broken.append(f"{job.mark}: begun {runs} times in {job.attempt} attempts")
    for mark, its in history.runs.items():
        claims = Counter(run.claim for run in its if run.claim is not None)
        for claim, times in claims.items():
            if times > 1:
                verdict.doubled += 1
                verdict.broken.append(f"{mark}: begun {times} times under claim {claim}")


def _reasons(history: History, verdict: Verdict) -> None:
    """Every second execution has a reason: the function raised, or harm was done to the first."""
    bit: set[Fault] = set()
    for mark, runs in history.runs.items():
        ordered = sorted(runs, key=lambda run: (run.claim or 0, run.t))
        raised = {fact.get("claim") for fact in history.raised[mark]}
        losses = 0
        for run, after in itertools.pairwise(ordered):
            if run.claim in raised and run.claim is not None:
                continue
            fault = history.fault_between(run, after)
            if fault is None:
                verdict.unexplained += 1
                verdict.broken.append(f"{mark}: begun again although no fault had met it ({run})")
            else:
                bit.add(fault)
                verdict.again += 1
                losses += 1
                if losses == 1:
                    verdict.recoveries.append(max(0, after.t - fault.end) / SECOND)
    verdict.bit.update(fault.who for fault in bit)


def _final(history: History, verdict: Verdict) -> None:
    """What has ended stays as it is, and does not begin."""
    for fact in history.seen:
        for job in history.jobs[fact["mark"]]:
            if job.state != fact["state"]:
                verdict.broken.append(f"{job.mark}: seen {fact['state']}, in the end {job.state}")
        for run in history.runs[fact["mark"]]:
            # Who stood still may begin what has long been somebody else's.
            if run.t > fact["t"] and not any(
                fault.start < run.t and fault.met(run) for fault in history.faults
            ):
                verdict.broken.append(f"{fact['mark']}: begun after it was seen {fact['state']}")


def _not_early(history: History, verdict: Verdict) -> None:
    for fact in history.inserted:
        for run in history.runs[fact["mark"]] if "due" in fact else ():
            if run.wall is not None and run.wall < fact["due"]:
                early = fact["due"] - run.wall
                verdict.broken.append(f"{run.mark}: begun {early:.6f} s before it was due")


def _parents_first(history: History, verdict: Verdict) -> None:
    for fact in history.inserted:
        for run, parent in itertools.product(history.runs[fact["mark"]], fact.get("after", ())):
            if not any(end["t"] < run.t for end in history.ends[parent]):
                verdict.broken.append(f"{run.mark}: begun before {parent} had ended")


def _one_holder(history: History, verdict: Verdict) -> None:
    """Of two jobs with one unique key, one had ended when the other was accepted."""
    keys = defaultdict(list)
    for fact in history.inserted:
        if "unique" in fact:
            keys[fact["unique"]].append(fact)
    for key, facts in keys.items():
        for first, second in itertools.permutations(facts, 2):
            if first["t"] >= second.get("start", second["t"]):
                continue
            for job in history.jobs[first["mark"]]:
                if any(
                    run.claim == job.accepted and run.t > second["t"]
                    for run in history.runs[first["mark"]]
                    if run.claim is not None
                ):
                    verdict.broken.append(
                        f"{second['mark']}: accepted while {job.mark} held the key {key!r}"
                    )


def _order(history: History, verdict: Verdict) -> None:
    """First executions in a line come in the order in which the line was formed."""
    lines = defaultdict(list)
    for fact in history.inserted:
        if "line" in fact and history.runs[fact["mark"]]:
            lines[fact["line"]].append(fact)
    for facts in lines.values():
        moments: list[int] = []
        latest: list[tuple[int, str]] = []  # of all up to that moment, the one that began last
        for fact in sorted(facts, key=lambda fact: fact["t"]):
            mark = fact["mark"]
            surely = bisect_left(moments, fact.get("start", fact["t"]))
            since, before = latest[surely - 1] if surely else (0, "")
            first = min(history.runs[mark], key=lambda run: run.t)
            begun = first.t
            if (fault := history.fault_before(first, since)) is not None:
                verdict.unwritten[fault.start] += 1
                begun = max(since, fault.start)
            if begun < since:
                verdict.broken.append(f"{mark}: begun before {before}")
            moments.append(fact["t"])
            latest.append(max([(begun, mark), *latest[-1:]]))
