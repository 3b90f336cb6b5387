"""Tally: how many attempts have ended at a worker, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

from mainspring.job import State, Transition


@dataclass
class Tally:
    """`processed` attempts ended, well or not, of which some `failed`. When the worker was stopped
    so many jobs were `handed_back` unfinished, of which some had begun and were `cut_short`."""

    processed: int = 0
    failed: int = 0
    handed_back: int = 0
    cut_short: int = 0

    def count(self, ends: Sequence[Transition], *, stopping: bool) -> None:
        """These attempts have ended where they ran."""
        self.processed += len(ends)
        for each in ends:
            if each.error is not None:
                self.failed += 1
            elif each.give_back:
                self.processed -= 1
                # Not begun is told as returned; what is handed back like this had begun. Others
                # wait for their time, or for a worker that knows their task.
                returned = each.to is State.PENDING
                self.handed_back += returned
                self.cut_short += returned and stopping
