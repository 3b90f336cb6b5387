"""What a store should answer, worked out with dictionaries: the promises a second time, slowly.

It decides nothing the promises leave open; where they do, the caller says what the store chose.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mainspring.durations import MINUTE
from mainspring.errors import UniqueTaken
from mainspring.job import WAITING, Claimed, NewJob, Reason, State, Transition
from mainspring.store import Claim

AGING = MINUTE
Link = Literal["open", "satisfied"]


@dataclass
class Job:
    """A job as it should stand."""

    new: NewJob[Any]
    created: int
    due: int
    number: int = 0
    state: State = State.BLOCKED
    score: int = 0
    attempt: int = 0
    claims: int = 0
    losses: int = 0
    errors: int = 0
    moves: int = 0
    """How often it was moved, its falling due left out."""
    reason: str | None = None
    token: int | None = None
    cancel: str | None = None
    expires: int | None = None
    links: dict[bytes, Link] = field(default_factory=dict)
    fell_for: set[bytes] = field(default_factory=set)
    """The parent it was cancelled for; several when they ended badly at one moment."""
    fell_at: int = 0

    @property
    def lift(self) -> int:
        return self.new.priority * AGING

    @property
    def last_attempt(self) -> bool:
        return self.attempt + 1 > self.new.policy.retry.max_retries

    @property
    def suspect(self) -> bool:
        return self.losses > 1 or (self.losses == 1 and self.last_attempt)

    @property
    def careful(self) -> bool:
        return self.losses > 0 or self.last_attempt

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    def late(self, wall: int) -> bool:
        return self.waits and self.expires is not None and self.expires <= wall

    def ready(self, wall: int) -> bool:
        """Whether a claim may take it: it is pending, or falls due in that very claim."""
        due = self.state in (State.SCHEDULED, State.RETRYING) and self.due <= wall
        return (self.state is State.PENDING or due) and not self.late(wall)


class Model:
    """All jobs as they should stand, and what each verb should make of them."""

    def __init__(self) -> None:
        self.jobs: dict[bytes, Job] = {}
        self.keys: dict[str, tuple[bytes, int]] = {}
        self.paused: set[str] = set()

    # --- insert ---------------------------------------------------------------------------------

    def insert(self, batch: Sequence[NewJob[Any]], wall: int) -> list[bytes | None]:
        """Of which job each is a duplicate; nothing changes when it raises."""
        within = {job.id for job in batch}
        flow = any(edge.parent in within for job in batch for edge in job.edges)
        mine: dict[str, bytes] = {}
        replaced: list[bytes] = []
        answers: list[bytes | None] = []
        for job in batch:
            answers.append(None)
            if job.unique is None:
                continue
            holder = mine.get(job.unique) or self._holder(job.unique, wall)
            if holder is not None:
                if flow or job.on_duplicate == "error":
                    raise UniqueTaken("taken", holder)
                waiting = holder not in self.jobs or self.jobs[holder].waits
                if job.on_duplicate == "return" or not waiting:
                    answers[-1] = holder
                    continue
                replaced.append(holder)
            mine[job.unique] = job.id
        stored = [job for job, answer in zip(batch, answers, strict=True) if answer is None]
        for job in stored:
            self.jobs[job.id] = Job(job, wall, wall + job.delay)
            if job.expires is not None:
                self.jobs[job.id].expires = wall + job.expires
        for job in _parents_first(stored):
            self._place(self.jobs[job.id], wall)
            if job.unique is not None and mine[job.unique] == job.id:
                self.keys[job.unique] = (job.id, wall + job.unique_for)
        for id in replaced:
            self.end(self.jobs[id], State.CANCELLED, "replaced", wall)
        return answers

    def _holder(self, key: str, wall: int) -> bytes | None:
        id, until = self.keys.get(key, (b"", 0))
        job = self.jobs.get(id)
        return id if job is not None and (not job.state.final or until > wall) else None

    def _place(self, job: Job, wall: int) -> None:
        bad = set(self._link(job))
        if bad:
            self._fall(job, bad, wall)
        else:
            self._release(job, wall)

    def _link(self, job: Job) -> list[bytes]:
        """Look at the parents anew; which of them ended badly."""
        job.links.clear()
        bad = []
        for edge in job.new.edges:
            parent = self.jobs.get(edge.parent)
            if parent is None:
                continue
            well = parent.state is State.COMPLETED or (parent.state.final and edge.run_anyway)
            job.links[edge.parent] = "satisfied" if well else "open"
            if parent.state.final and not well:
                bad.append(edge.parent)
        return bad

    def _fall(self, job: Job, parents: set[bytes], wall: int) -> None:
        job.fell_for, job.fell_at = parents, wall
        self.end(job, State.CANCELLED, Reason.DEPENDENCY_FAILED, wall)

    def _release(self, job: Job, wall: int) -> None:
        """Let it wait for its parents, then for its time, then for a worker."""
        if "open" in job.links.values():
            job.state = State.BLOCKED
        else:
            job.due = max(job.due, wall)
            self._wait(job, State.SCHEDULED if job.due > wall else State.PENDING)

    def _wait(self, job: Job, state: State, score: int | None = None) -> None:
        job.state = state
        job.score = job.due - job.lift if score is None else score

    # --- ends -----------------------------------------------------------------------------------

    def end(self, job: Job, state: State, reason: str | None, wall: int) -> None:
        job.state, job.reason, job.token, job.cancel = state, reason, None, None
        job.moves += 1
        for child, anyway in self._children(job):
            well = state is State.COMPLETED or anyway
            if child.links.get(job.new.id) != "open":
                continue
            if child.state is State.BLOCKED and well:
                child.links[job.new.id] = "satisfied"
                self._release(child, wall)
            elif child.state is State.BLOCKED:
                self._fall(child, {job.new.id}, wall)
            elif fell(child) and child.fell_at == wall and not well:
                child.fell_for.add(job.new.id)

    def _children(self, parent: Job) -> list[tuple[Job, bool]]:
        """Those that name it, and whether they run anyway."""
        return [
            (child, edge.run_anyway)
            for child in self.jobs.values()
            for edge in child.new.edges
            if edge.parent == parent.new.id
        ]

    def tidy(self, wall: int) -> None:
        """What upkeep does: late jobs fail, due ones become pending."""
        for job in list(self.jobs.values()):
            if job.late(wall):
                self.end(job, State.FAILED, Reason.EXPIRED, wall)
        for job in self.jobs.values():
            if job.state in (State.SCHEDULED, State.RETRYING) and job.due <= wall:
                job.state = State.PENDING

    # --- work -----------------------------------------------------------------------------------

    def lane(self, queue: str, wall: int, suspects: bool, tasks: Sequence[str] | None) -> list[Job]:
        """The jobs of a queue that can be claimed, in order."""
        found = [
            job
            for job in self.jobs.values()
            if job.new.queue == queue
            and queue not in self.paused
            and job.ready(wall)
            and job.suspect is suspects
            and (tasks is None or job.new.task in tasks)
        ]
        return sorted(found, key=lambda job: (job.score, job.number))

    def predict(self, claim: Claim, wall: int) -> list[bytes]:
        """What the claim gives when no suspect is in its way."""
        queues = self.queues() if claim.queues is None else claim.queues
        lanes = [self.lane(queue, wall, False, claim.tasks) for queue in queues]
        order = [job for lane in lanes for job in lane]
        if claim.queues is None:
            order.sort(key=lambda job: (job.score, job.number))
        expected: list[bytes] = []
        for job in order:
            if len(expected) == claim.limit or (job.careful and len(expected) >= claim.slots):
                break
            expected.append(job.new.id)
        return expected

    def claimed(self, held: Claimed) -> Job:
        job = self.jobs[held.id]
        job.state, job.token, job.reason = State.RUNNING, held.token, None
        job.attempt += 1
        job.claims += 1
        job.moves += 1
        return job

    def settle(self, change: Transition, wall: int) -> str:
        """ "done", "lost" or "cancelled"."""
        job = next((j for j in self.jobs.values() if j.number == change.number), None)
        if job is None or job.state is not State.RUNNING or job.token != change.token:
            return "lost"
        job.errors += change.error is not None
        job.attempt -= change.give_back
        if job.cancel is not None and change.to is not State.COMPLETED:
            self.end(job, State.CANCELLED, job.cancel or None, wall)
            return "cancelled"
        if change.to.final:
            self.end(job, change.to, change.reason, wall)
            return "done"
        job.moves += 1
        job.token = job.cancel = None
        job.losses = change.losses
        job.reason = change.reason
        score = job.score if change.old_score else None
        job.due = job.score + job.lift if change.to is State.PENDING else wall + change.delay
        self._wait(job, change.to, score)
        return "done"

    # --- operate --------------------------------------------------------------------------------

    def cancel(self, job: Job, reason: str, wall: int) -> bool:
        if job.state is State.RUNNING:
            job.cancel = reason
        elif not job.state.final:
            self.end(job, State.CANCELLED, reason or None, wall)
        else:
            return False
        return True

    def replay(self, job: Job, wall: int) -> bool:
        key = job.new.unique
        if not job.state.final or (key and self._holder(key, wall) not in (None, job.new.id)):
            return False
        if key is not None:
            self.keys[key] = (job.new.id, job.created + job.new.unique_for)
        self._again(job, wall)
        self._stand_up(job, wall)
        return True

    def _again(self, job: Job, wall: int) -> None:
        job.attempt = job.losses = 0
        job.reason = None
        job.moves += 1
        job.due = wall
        if job.new.expires is not None:
            job.expires = wall + job.new.expires
        self._link(job)
        self._release(job, wall)

    def _stand_up(self, parent: Job, wall: int) -> None:
        """Those that fell because of it wait again."""
        for child in self.fallen(parent):
            self._again(child, wall)
            self._stand_up(child, wall)

    def fallen(self, parent: Job) -> list[Job]:
        return [c for c, _ in self._children(parent) if fell(c) and parent.new.id in c.fell_for]

    def delete(self, job: Job, wall: int) -> bool:
        if job.state is State.RUNNING or (job.state.final and self.needed(job)):
            return False
        if not job.state.final:
            self.end(job, State.CANCELLED, None, wall)
        del self.jobs[job.new.id]
        for child in self.jobs.values():
            child.links.pop(job.new.id, None)
        return True

    def needed(self, parent: Job) -> bool:
        """Whether a job that has not ended depends on it."""
        return any(
            parent.new.id in child.links and not child.state.final for child in self.jobs.values()
        )

    # --- look -----------------------------------------------------------------------------------

    def ended(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state.final]

    def with_fallen(self) -> list[Job]:
        return [job for job in self.jobs.values() if self.fallen(job)]

    def queues(self) -> list[str]:
        return sorted({job.new.queue for job in self.jobs.values()})

    def running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state is State.RUNNING]

    def counts(self) -> Counter[tuple[str, State]]:
        return Counter((job.new.queue, job.state) for job in self.jobs.values())


def fell(job: Job) -> bool:
    """Whether it was cancelled because of a parent."""
    return job.state is State.CANCELLED and job.reason == Reason.DEPENDENCY_FAILED


def _parents_first(batch: Iterable[NewJob[Any]]) -> list[NewJob[Any]]:
    left = list(batch)
    order: list[NewJob[Any]] = []
    while left:
        ids = {job.id for job in left}
        free = [job for job in left if not ids & {edge.parent for edge in job.edges}]
        order += free
        left = [job for job in left if job not in free]
    return order
