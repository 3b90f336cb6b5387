"""One line on stderr that tells how far something is."""

import sys
import time


class Progress:
    """Updates in place on a terminal; elsewhere prints a line now and then. Use as a context."""

    def __init__(self, every: float = 2.0) -> None:
        self._live = sys.stderr.isatty()
        self._every = every
        self._next = 0.0
        self._said = ""

    def tell(self, share: float, text: str) -> None:
        """Show the share done (0 to 1) and the text."""
        line = f"{_bar(share)} {share:4.0%}  {text}"
        if self._live:
            sys.stderr.write(f"\r{line}\x1b[K")
            sys.stderr.flush()
        elif line != self._said and time.monotonic() >= self._next:
            sys.stderr.write(f"{line}\n")
            self._next = time.monotonic() + self._every
        self._said = line

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._said:
            sys.stderr.write("\n")


def _bar(share: float, width: int = 24) -> str:
    done = round(width * max(0.0, min(share, 1.0)))
    return f"[{'#' * done}{'.' * (width - done)}]"
