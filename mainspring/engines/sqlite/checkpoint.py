"""Checkpoints: moving what was committed from the log into the file, small and often.

SQLite before 3.51.3 can lose commits when two checkpoints and a commit meet (the WAL-reset race).
So none happens by itself: this chore runs under the writers' queue and in a mode that takes
SQLite's write lock. It does not wait: when somebody reads, it tries again later. Only when
readers that take turns have made the log long, it waits a moment for those who are there now.
"""

from sqlite3 import Connection

from mainspring.engines.common.sections import sections

SQL = sections(__file__)

FRAMES = 1500
"""Pages in the log after which it is time."""
LONG = 4 * FRAMES
"""Pages in the log from which readers are waited for."""
PATIENCE = 50
"""Milliseconds to wait for them."""


class Checkpoints:
    """Guesses how long the log is from what was written, and learns from each checkpoint."""

    def __init__(self) -> None:
        self._written = 0.0
        self._frames_per_unit = 1.0
        self._goal = FRAMES

    def note(self, rows: int) -> None:
        """A commit that changed so many rows: some pages of its own, and some for its rows."""
        self._written += 4 + rows / 25

    def due(self) -> bool:
        """Whether the log has probably grown long enough."""
        return self._written * self._frames_per_unit >= self._goal

    @property
    def urgent(self) -> bool:
        """Whether one must come before the next commit."""
        return self._goal == 0

    def hurry(self) -> None:
        """Make one before the next commit."""
        self._goal = 0

    def run(self, connection: Connection, *, truncate: bool = False) -> bool:
        """Make one now; False if a reader or a foreign writer was in the way."""
        timeout = connection.execute(SQL["timeout"]).fetchall()[0][0]
        late = self._goal >= LONG
        connection.execute(f"PRAGMA busy_timeout={PATIENCE if late else 0}")
        try:
            statement = SQL["truncate" if truncate else "restart"]
            busy, frames, _ = connection.execute(statement).fetchall()[0]
        finally:
            connection.execute(f"PRAGMA busy_timeout={timeout}")
        if busy:
            self._look_again(frames, FRAMES if late else FRAMES // 4)
            return False
        if frames > 0 and self._written and self._goal == FRAMES:
            self._frames_per_unit = min(10.0, max(0.1, frames / self._written))
        self._written = 0.0
        self._goal = FRAMES
        return True

    def _look_again(self, frames: int, later: int) -> None:
        """Try again when the log is so many pages longer than the `frames` found (-1: unknown)."""
        if frames < 0:
            self._goal += later
            return
        # Longer than was thought: the guess is too low. Shorter: SQLite had begun it anew.
        if self._written:
            guess = max(self._frames_per_unit, frames / self._written)
            self._frames_per_unit = min(10.0, guess)
        self._written = frames / self._frames_per_unit
        self._goal = max(FRAMES + 1, frames + later)
