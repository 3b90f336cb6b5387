"""Watch: has workers load their app anew when a file of its code changes. For development."""

import contextlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PAUSE = 0.4
"""Seconds between two looks at the files."""

MOST = 20_000
"""Files that are looked at."""

NOT_CODE = {"__pycache__", "node_modules", "site-packages"}

Seen = dict[str, tuple[int, int]]
"""Files, with the time of their last change (nanoseconds) and their size."""


def code_of(app: str) -> list[Path]:
    """Where the code of "module:attribute" or "script.py:attribute" is: its package, module or
    script, and the current folder, from which it can import more."""
    place = app.rpartition(":")[0]
    here = Path.cwd()
    # Of the outermost package: finding it runs none of its code.
    spec = None if place.endswith(".py") else importlib.util.find_spec(place.partition(".")[0])
    found = [*(spec.submodule_search_locations or [spec.origin or ""])] if spec else [place]
    paths = [Path(each).absolute() for each in found]
    return [each for each in paths if not each.is_relative_to(here)] + [here]


@contextlib.contextmanager
def watched(
    places: Sequence[Path], reload: Callable[[], None], say: Callable[[str], None]
) -> Iterator[None]:
    """For the block, say which files there changed, and reload, from a thread of its own."""
    closed = threading.Event()
    seen = look(places)  # before anything is loaded: what changes meanwhile is loaded once more
    watch = threading.Thread(
        target=_watch, args=(places, seen, reload, say, closed), name="mainspring-watch"
    )
    watch.start()
    try:
        yield
    finally:
        closed.set()
        watch.join()


def _watch(
    places: Sequence[Path],
    loaded: Seen,
    reload: Callable[[], None],
    say: Callable[[str], None],
    closed: threading.Event,
) -> None:
    before = loaded
    while not closed.wait(PAUSE):
        now = look(places)
        # Who saves one file may save the next one at once: only what stays as it is is loaded.
        if now == before and now != loaded:
            say(f"{_changed(loaded, now)} changed: loading the app anew")
            loaded = now
            reload()
        before = now


def look(places: Sequence[Path]) -> Seen:
    """The Python files among these, in these folders and in all below them that may hold code."""
    seen: Seen = {}
    todo = [str(each) for each in places]
    while todo and len(seen) < MOST:
        place = todo.pop()
        if place.endswith(".py"):
            with contextlib.suppress(OSError):  # gone by now
                status = os.stat(place)
                seen[place] = (status.st_mtime_ns, status.st_size)
            continue
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            todo += [each.path for each in entries if _may_hold_code(each)]
    return seen


def _may_hold_code(entry: os.DirEntry[str]) -> bool:
    if entry.name.endswith(".py"):
        return True
    if entry.name.startswith(".") or entry.name in NOT_CODE:
        return False
    if not entry.is_dir(follow_symlinks=False):
        return False
    return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def _changed(before: Seen, now: Seen) -> str:
    files = sorted({path for path, _ in before.items() ^ now.items()})
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return os.path.relpath(files[0]) + more
