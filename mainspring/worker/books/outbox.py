"""Outbox: what is still to be written, and what is being written, one round at a time."""

from collections.abc import Iterable, Sequence

from mainspring.job import Claimed, Transition
from mainspring.store import Claim, Note
from mainspring.worker.books.ledger import Round

NOTES_PAUSE = 0.2
"""Seconds between two writes of nothing but progress and log lines."""

MISSED_PAUSE = 0.25
"""Seconds before what a part of the store did not hear is written again."""

MOST = 1000
"""Outcomes of one round: other processes wait to write, too."""

MOST_NOTES = 10_000
"""Progress and lines of log that are kept while the store is away."""


class Outbox:
    """Transitions and notes on their way to the store. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.pending: list[Transition] = []
        self.busy = False
        """Whether a round is being written."""
        self._underway: list[Transition] = []
        self._missed: list[Transition] = []
        self._notes: list[Note] = []
        self._notes_at = self._missed_at = 0.0
        self._is_overtaken = False

    @property
    def empty(self) -> bool:
        """Whether everything has been written."""
        return not (self.pending or self._missed or self._notes or self.busy)

    @property
    def transitions(self) -> list[Transition]:
        """All that are not known to be written, from whatever thread."""
        # In the order in which one goes from list to list: none is missed on its way.
        return [*self.pending, *self._underway, *self._missed]

    def note(self, notes: Iterable[Note]) -> None:
        """Write these notes, the latest if there are too many."""
        self._notes += notes
        del self._notes[:-MOST_NOTES]

    def repeat(self, now: float) -> None:
        """What was missed is due again after a while."""
        if self._missed and now >= self._missed_at:
            self.pending, self._missed = self._missed + self.pending, []

    def round(self, claim: Claim | None, now: float) -> Round | None:
        """The next round with this claim, if there is anything to write or claim."""
        if not (self.pending or claim or (self._notes and now >= self._notes_at)):
            return None
        round = Round(self.pending[:MOST], self._notes, claim, now)
        self._underway = round.transitions
        self.pending, self._notes = self.pending[MOST:], []
        self._notes_at = now + NOTES_PAUSE
        self.busy = True
        return round

    def overtake(self, jobs: Sequence[Claimed]) -> None:
        """These, if any, are given back and come before what a claim under way brings."""
        self._is_overtaken |= self.busy and bool(jobs)

    def written(self, round: Round, now: float) -> bool:
        """The round is done, but for what was missed. Whether its claim was overtaken."""
        if round.missed:
            self._missed += round.missed
            self._missed_at = now + MISSED_PAUSE
        self.busy, self._underway = False, []
        overtaken, self._is_overtaken = self._is_overtaken, False
        return overtaken
