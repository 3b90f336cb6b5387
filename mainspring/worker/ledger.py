"""Ledger: writes outcomes and claims the next jobs, one round at a time.

A round that fails is repeated, word for word, until it is written or the leases it is about have
ended: its tokens make that safe even if the store had written it and only the answer was lost.
A transition that the store cannot write, for a reason that will not pass, must not hold up the
rest: its job ends as failed.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from mainspring.errors import PartlyUnavailable, SchemaError, StoreDamaged, StoreUnavailable
from mainspring.job import JobError, Reason, State, Transition
from mainspring.store import Claim, Exchanged, Note, Store

log = logging.getLogger("mainspring")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries while the store is away."""


PATIENCE = 1.0
"""Seconds to wait for a write under way when the worker ends."""


class Round(NamedTuple):
    """What is written at once. `asked` is when, in monotonic seconds: a lease counts from there."""

    transitions: list[Transition]
    notes: list[Note]
    claim: Claim | None
    asked: float


class Desk(Protocol):
    """Who hears what became of a round."""

    def written(self, round: Round, answer: Exchanged) -> None:
        """It was written, or what was left of it when the store came back."""
        ...

    def missed(self, transitions: list[Transition]) -> None:
        """These were not written, since a part of the store does not answer; the rest was."""
        ...

    def away(self, error: str) -> None:
        """The store does not answer; the round is tried again."""
        ...

    def back(self) -> None:
        """The store answers again."""
        ...

    def broken(self, error: BaseException) -> None:
        """The store cannot be worked with."""
        ...


class Ledger:
    """One thread that writes; whoever submits waits for `written` before the next round."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        holds: Callable[[int], bool],
        tell: Callable[[Sequence[Note]], None],
    ) -> None:
        self._store = store
        self._desk = desk
        self._holds = holds
        self._tell = tell
        self._is_away = False
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
                self._trouble(error)
                if isinstance(error, SchemaError | StoreDamaged) or self._closed.wait(pause):
                    return
                pause = min(LONGEST_PAUSE, 2 * pause)
                round = self._still_ours(round)
                if not isinstance(error, StoreUnavailable):
                    self._write_one_by_one(round)

    def _try(self, round: Round) -> Exception | None:
        """Write a round, or say why that cannot be."""
        try:
            if round.notes:
                # Before the jobs end: notes of ended jobs are dropped.
                self._tell(round.notes)
                round.notes.clear()
            answer = self._store.exchange(round.transitions, round.claim)
        except PartlyUnavailable as error:
            # What concerns the other parts must not wait for this one.
            answer, missed = error.answer, set(error.missed)
            round = round._replace(transitions=[t for t in round.transitions if t not in missed])
            self._desk.missed(list(error.missed))
        except Exception as error:
            return error
        if self._is_away and (round.transitions or round.claim):
            self._is_away = False
            self._desk.back()
        self._desk.written(round, answer)
        return None

    def _trouble(self, error: Exception) -> None:
        if isinstance(error, SchemaError | StoreDamaged):
            self._desk.broken(error)
            return
        if not isinstance(error, StoreUnavailable):
            log.error("the store failed in a way it should not; trying again", exc_info=error)
        if not self._is_away:
            self._is_away = True
            self._desk.away(f"{type(error).__name__}: {error}")

    def _write_one_by_one(self, round: Round) -> None:
        """Find what cannot be written; all the others may be repeated with the round."""
        for at, each in enumerate(round.transitions):
            try:
                self._store.exchange([each])
            except PartlyUnavailable:
                continue
            except StoreUnavailable:
                return
            except Exception as error:
                log.exception("the outcome of job #%d cannot be written", each.number)
                round.transitions[at] = _unwritable(each, error)

    def _still_ours(self, round: Round) -> Round:
        """The round without what is somebody else's by now."""
        kept = [each for each in round.transitions if self._holds(each.token)]
        claim = round.claim
        if claim and time.monotonic() > round.asked + claim.grant.lease / 1_000_000:
            claim = None
        return Round(kept, round.notes, claim, round.asked)


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
