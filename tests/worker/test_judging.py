"""An order to end a job, or a verdict on it, that comes late is not meant for the next one."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from mainspring.context import Context
from mainspring.job import Claimed, Policy, encode_policy
from mainspring.worker.child.solo import Solo, _Run
from mainspring.worker.crew.member import Lifespan, Member
from mainspring.worker.link.board import HEAD, Board, Why


class Hurried(Board):
    """The next job begins as soon as somebody has read this of the last one."""

    after = ""

    def __init__(self) -> None:
        super().__init__(bytearray(HEAD))  # type: ignore[arg-type]

    def _read(self, what: str) -> Any:
        value = getattr(super(), what)
        if what == self.after:
            self.after = ""
            self.end()
            self.begin(2, 0, 10**12)
        return value

    number = property(lambda self: self._read("number"))  # type: ignore[assignment]
    kill_at = property(lambda self: self._read("kill_at"))  # type: ignore[assignment]
    memory = property(lambda self: self._read("memory"))  # type: ignore[assignment]


@pytest.fixture
def board() -> Hurried:
    return Hurried()


@pytest.mark.parametrize("after", ["number", "kill_at", "memory"])
@pytest.mark.parametrize("limit", ["time", "memory"])
def test_a_job_is_not_killed_for_the_one_before_it(board: Hurried, limit: str, after: str) -> None:
    killed: list[bool] = []
    child: Any = SimpleNamespace(
        board=board,
        has_ended=False,
        memory=2000,
        trim=lambda: None,
        kill=lambda: killed.append(True),
    )
    usage = SimpleNamespace(is_now=lambda share: None)
    station: Any = SimpleNamespace(open=True, held={1: 1}, usage=usage, strain=1.0)
    member = Member(child, station, solo=True, alone=False)
    board.begin(1, 1 if limit == "time" else 0, 1000 if limit == "memory" else 0)
    board.after = after
    member.look_after(time.monotonic(), Lifespan())
    assert (killed, member.convicted) == ([], None)


def test_a_job_is_not_told_to_end_for_the_one_before_it(board: Hurried) -> None:
    job = Claimed(1, 7, bytes(16), "q", "t", b"{}", 1, 1, 0, 0, 0, encode_policy(Policy()))
    channel: Any = None
    solo = Solo(None, board, None)  # type: ignore[arg-type]
    board.begin(2, 0, 0)
    ended = _Run(job, Context(job, worker="w", deadline=None, channel=channel), 0)
    solo._tell(ended, Why.CANCEL)
    assert (board.kill_at, ended.why) == (0, Why.NOTHING)


def test_what_a_child_scribbles_on_its_board_can_be_read(board: Hurried) -> None:
    board._head[:] = memoryview(b"\xff" * HEAD).cast("q")
    assert (board.why, board.output_from) == (Why.NOTHING, 0)
