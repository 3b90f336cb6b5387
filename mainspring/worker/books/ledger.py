"""Ledger: writes outcomes and claims the next jobs, one round at a time.

A round that fails is repeated, word for word, until the store answers: its tokens make that safe
even if it was written and only the answer was lost, or if the leases have ended meanwhile. Whether
somebody has taken the jobs then, only the store can say. A transition that the store cannot write,
for a reason that will not pass, must not hold up the rest: its job ends as failed.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import NamedTuple

from mainspring.errors import PartlyUnavailable, StoreUnavailable
from mainspring.job import HandedBack, JobError, Reason, State, Transition
from mainspring.lifecycle import decide
from mainspring.store import Claim, Exchanged, Note, Store
from mainspring.worker.books.contact import Contact, is_final

log = logging.getLogger("mainspring")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries while the store is away."""


PATIENCE = 1.0
"""Seconds to wait for a write under way when the worker ends."""

PASSING = StoreUnavailable, OSError, RuntimeError, MemoryError
"""What is wrong with the machine or the store, and not with an outcome."""

REFUSALS = 3
"""Times that an outcome is refused until it is known that it cannot be written."""


class Round(NamedTuple):
    """What is written at once. `asked` is when, in monotonic seconds: a lease counts from there.
    `missed` are transitions of whose jobs a part of the store does not answer."""

    transitions: list[Transition]
    notes: list[Note]
    claim: Claim | None
    asked: float
    missed: tuple[Transition, ...] = ()


class Ledger:
    """One thread that writes; whoever submits waits for `written` before the next round."""

    def __init__(
        self,
        store: Store,
        contact: Contact,
        written: Callable[[Round, Exchanged], None],
        tell: Callable[[Sequence[Note]], None],
    ) -> None:
        self._store = store
        self._contact = contact
        self._written = written
        self._tell = tell
        self._unanswered: list[int] = []
        self._refusals: Counter[tuple[int, int]] = Counter()
        self._closed = threading.Event()
        self._rounds: SimpleQueue[Round | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mainspring-ledger", daemon=True)
        self._thread.start()

    def submit(self, round: Round) -> None:
        """Write this; not before the last round was `written`."""
        self._rounds.put(round)

    def close(self) -> None:
        """Give up what could not be written, and end."""
        self._closed.set()
        self._rounds.put(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while (round := self._rounds.get()) is not None:
            pause = FIRST_PAUSE
            while (error := self._try(round)) is not None:
                self._contact.failed("ledger", error)
                if is_final(error) or self._closed.wait(pause):
                    return
                pause = min(LONGEST_PAUSE, 2 * pause)
                round = self._without_old_claim(round)
                if not isinstance(error, StoreUnavailable):
                    self._write_one_by_one(round)

    def _try(self, round: Round) -> Exception | None:
        """Write a round, or say why that cannot be."""
        asked = any((round.notes, self._unanswered, round.transitions, round.claim))
        try:
            if round.notes:
                # Before the jobs end: notes of ended jobs are dropped.
                self._note(round)
            if self._unanswered:
                self._hand_back()
            done, answer = self._exchange(round)
        except Exception as error:
            return error
        if asked:
            self._contact.answered("ledger")
        self._written(done, answer)
        return None

    def _exchange(self, round: Round) -> tuple[Round, Exchanged]:
        """What was written of the round, and the answer to it."""
        try:
            return round, self._store.exchange(round.transitions, round.claim)
        except PartlyUnavailable as error:
            # What concerns the other parts of the store must not wait for this one.
            missed = dict.fromkeys(error.missed)
            written = [each for each in round.transitions if each not in missed]
            answer: Exchanged = error.answer
            return round._replace(transitions=written, missed=tuple(missed)), answer

    def _note(self, round: Round) -> None:
        try:
            self._tell(round.notes)
        except Exception as error:
            if is_final(error) or isinstance(error, StoreUnavailable):
                raise
            log.exception("notes of %d jobs cannot be written", len(round.notes))
        round.notes.clear()

    def _without_old_claim(self, round: Round) -> Round:
        """The round without a claim whose lease would be half over if it had been granted."""
        claim = round.claim
        if claim is None or time.monotonic() < round.asked + claim.grant.lease / 2_000_000:
            return round
        self._unanswered.append(claim.grant.token)
        return Round(round.transitions, round.notes, None, round.asked)

    def _hand_back(self) -> None:
        """Give back what such claims were granted after all: nobody has begun it."""
        missed: list[int] = []
        try:
            jobs = self._store.held(self._unanswered)
        except PartlyUnavailable as error:
            jobs, missed = error.answer, list(error.missed)
        self._store.exchange([decide(job, HandedBack()) for job in jobs])
        self._unanswered = missed

    def _write_one_by_one(self, round: Round) -> None:
        """Find what cannot be written; all the others may be repeated with the round."""
        for each in list(round.transitions):
            try:
                self._store.exchange([each])
            except PartlyUnavailable:
                continue
            except PASSING:
                return
            except Exception as error:
                lease = each.number, each.token
                self._refusals[lease] += 1
                if self._refusals[lease] < REFUSALS:
                    continue
                del self._refusals[lease]
                log.exception("the outcome of job #%d cannot be written", each.number)
                round.transitions.remove(each)
                self._write_instead(_unwritable(each, error), round)

    def _write_instead(self, failure: Transition, round: Round) -> None:
        try:
            self._store.exchange([failure])
        except StoreUnavailable:
            round.transitions.append(failure)
        except Exception:
            log.exception("job #%d cannot even fail", failure.number)
        else:
            round.transitions.append(failure)


def _unwritable(transition: Transition, error: Exception) -> Transition:
    told = JobError(
        attempt=transition.error.attempt if transition.error else 0,
        type=type(error).__name__,
        message=f"the outcome could not be written: {str(error)!a}",
        at=time.time_ns() // 1000,
    )
    return Transition(
        transition.number,
        transition.token,
        State.FAILED,
        took=transition.took,
        error=told,
        reason=Reason.PERMANENT,
    )
