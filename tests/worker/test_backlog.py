"""What waits in a place: taken out by some, while others take from it to run it."""

from collections.abc import Iterator

from mainspring.job import Claimed, Policy, encode_policy
from mainspring.worker.child.backlog import Backlog, fed


def _job(number: int, token: int = 7) -> Claimed:
    policy = encode_policy(Policy())
    return Claimed(number, token, bytes(16), "q", "t", b"{}", 1, 1, 0, 0, 0, policy)


def _backlog(*numbers: int) -> Backlog:
    backlog = Backlog()
    backlog.extend(fed(map(_job, numbers), numbers, now=5))
    return backlog


class Watching:
    """A collection that notes how much waits whenever somebody looks into it."""

    def __init__(self, backlog: Backlog, *content: int) -> None:
        self.seen: list[int] = []
        self._backlog = backlog
        self._content = content

    def __contains__(self, one: object) -> bool:
        self.seen.append(len(self._backlog))
        return one in self._content

    def __iter__(self) -> Iterator[int]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


def test_what_stays_is_there_all_the_time_and_in_order_while_others_are_taken_out() -> None:
    """A runner that found nothing would rest, and nobody would wake it for what was put back."""
    backlog = _backlog(1, 2, 3, 4)
    wanted = Watching(backlog, 1, 3)
    assert [job.number for job in backlog.recall(wanted)] == [1, 3]
    assert [job.number for job, _, _ in backlog] == [2, 4]
    tokens = Watching(backlog, 8)
    backlog.drop(tokens)
    assert [job.number for job, _, _ in backlog] == [2, 4]
    assert min(wanted.seen + tokens.seen) >= 2


def test_everything_can_be_taken_out_and_what_is_old_by_itself() -> None:
    backlog = _backlog(1, 2)
    backlog.extend(fed([_job(3)], [3], now=9))
    assert [job.number for job in backlog.stale(before=9)] == [1, 2]
    assert backlog.stale(before=9) == []
    assert [job.number for job in backlog.recall(None)] == [3]
    assert not backlog
