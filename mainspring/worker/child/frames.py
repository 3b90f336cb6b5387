"""Frames: where a thread or a coroutine is just now, in words for whoever wonders why it hangs."""

import sys
import traceback
from itertools import dropwhile
from types import FrameType

LONGEST = 4000
"""Characters: of the end, where it is."""


def of_thread(ident: int | None) -> str:
    """The stack of a thread, from the first frame that is not the worker's own."""
    frame = sys._current_frames().get(ident or 0)
    if frame is None:
        return ""
    stack = list(traceback.walk_stack(frame))
    stack.reverse()
    below = dropwhile(lambda each: not _is_ours(each[0].f_globals), stack)
    own = list(dropwhile(lambda each: _is_ours(each[0].f_globals), below))
    told = traceback.StackSummary.extract(iter(own or stack)).format()
    return "".join(told)[-LONGEST:]


def of_coroutine(awaited: object) -> str:
    """The stack of a suspended coroutine, "" if it is not suspended."""
    stack: list[tuple[FrameType, int]] = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            stack.append((frame, frame.f_lineno))
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    own = dropwhile(lambda each: _is_ours(each[0].f_globals), stack)
    return "".join(traceback.StackSummary.extract(own).format())[-LONGEST:]


def _is_ours(names: dict[str, object]) -> bool:
    return str(names.get("__name__", "")).startswith("mainspring.")
