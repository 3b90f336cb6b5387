"""What a worker counts of its attempts."""

from mainspring.ids import new_id
from mainspring.job import Claimed, HandedBack, Outcome, Policy, TaskUnknown, encode_policy
from mainspring.lifecycle import decide
from mainspring.worker.control.tally import Tally


def counted(outcome: Outcome) -> Tally:
    """The tally of a worker that stops, of one attempt that ends so."""
    tally = Tally()
    job = Claimed(1, 1, new_id(), "q", "t", b"{}", 1, 1, 0, 0, 0, encode_policy(Policy()))
    tally.count([decide(job, outcome)], stopping=True)
    return tally


def test_a_job_that_had_begun_and_is_handed_back_was_cut_short() -> None:
    assert counted(HandedBack()) == Tally(handed_back=1, cut_short=1)


def test_a_job_of_a_task_that_is_not_known_here_was_not() -> None:
    assert counted(TaskUnknown()) == Tally()
