"""Retry: how often, for which errors and after how long a failed job runs again.

Pure: no clock and no random source; jitter is drawn from the job's id and attempt, so that
any process computes the same delay.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from mainspring.durations import DAY, Duration, microseconds
from mainspring.errors import InvalidArguments

Kind = Literal["exponential", "linear", "fixed", "list"]

_CURVES: dict[str, Kind] = {"exponential": "exponential", "linear": "linear", "fixed": "fixed"}

MOST_RETRIES = 1_000_000
LONGEST_DELAY = 30 * DAY
JITTER = 0.25
"""With jitter a delay is between 75 % and 100 % of the computed one."""


class Backoff(Struct, frozen=True, array_like=True):
    """A retry policy as it travels with a job: plain numbers, no code. Times in microseconds."""

    max_retries: int = 3
    kind: Kind = "exponential"
    base: int = 1_000_000
    factor: float = 2.0
    max_delay: int = 300_000_000
    delays: tuple[int, ...] = ()
    jitter: bool = True

    def delay(self, attempt: int, seed: bytes = b"") -> int:
        """Microseconds to wait after failed attempt number `attempt` (from 1)."""
        retry = max(1, attempt)
        match self.kind:
            case "exponential":
                # 2**1000 overflows a float; past 64 doublings the cap has long been reached.
                wait = self.base * self.factor ** min(retry - 1, 64)
            case "linear":
                wait = self.base * retry
            case "fixed":
                wait = self.base
            case "list":
                wait = self.delays[min(retry, len(self.delays)) - 1]
        wait = min(wait, self.max_delay)
        if self.jitter:
            draw = zlib.crc32(b"%b%d" % (seed, attempt)) / 2**32
            wait *= 1 - JITTER * draw
        return int(wait)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """When a task's failed jobs run again.

    `max_retries` counts executions after the first (0 to 1,000,000; default 3). `backoff` is
    "exponential" (base × factor^(n-1)), "linear" (base × n), "fixed" (base), a list of delays
    (the last one repeats) or a callable `(attempt, error) -> Duration`, which is evaluated where
    the task ran; any other process that settles the job uses the exponential policy instead.
    `max_delay` caps every delay (at most 30 days); jitter takes up to a quarter off.
    `on` are the exceptions worth another attempt (default: every Exception), `never_on` those
    that fail the job at once.
    """

    max_retries: int = 3
    backoff: Kind | Sequence[Duration] | Callable[[int, BaseException], Duration] = "exponential"
    base: Duration = 1.0
    factor: float = 2.0
    max_delay: Duration = 300.0
    jitter: bool = True
    on: tuple[type[BaseException], ...] = (Exception,)
    never_on: tuple[type[BaseException], ...] = ()
    stored: Backoff = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (
            isinstance(self.max_retries, bool)
            or not isinstance(self.max_retries, int)
            or not 0 <= self.max_retries <= MOST_RETRIES
        ):
            raise InvalidArguments(
                f"max_retries: expected 0 to {MOST_RETRIES:,}, got {self.max_retries!r}"
            )
        if not isinstance(self.factor, int | float) or not 1 <= self.factor <= 100:
            raise InvalidArguments(f"factor: expected 1 to 100, got {self.factor!r}")
        for name in ("on", "never_on"):
            kinds = getattr(self, name)
            if isinstance(kinds, type):
                kinds = (kinds,)
            if not isinstance(kinds, tuple | list) or not all(
                isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds
            ):
                raise InvalidArguments(f"{name}: expected exception classes, got {kinds!r}")
            object.__setattr__(self, name, tuple(kinds))
        object.__setattr__(self, "stored", self._stored())

    def _stored(self) -> Backoff:
        kind: Kind = "exponential"
        delays: tuple[int, ...] = ()
        if isinstance(self.backoff, str):
            if self.backoff not in _CURVES:
                raise _no_backoff(self.backoff)
            kind = _CURVES[self.backoff]
        elif isinstance(self.backoff, Sequence):
            kind, delays = "list", tuple(microseconds(d, "backoff") for d in self.backoff)
            if not delays:
                raise InvalidArguments("backoff: expected at least one delay, got an empty list")
        elif not callable(self.backoff):
            raise _no_backoff(self.backoff)
        longest = microseconds(self.max_delay, "max_delay")
        if longest > LONGEST_DELAY:
            raise InvalidArguments(f"max_delay: expected at most 30 days, got {self.max_delay!r}")
        base = microseconds(self.base, "base")
        return Backoff(
            self.max_retries, kind, base, float(self.factor), longest, delays, self.jitter
        )

    def wants(self, error: BaseException) -> bool:
        """Whether this error is worth another attempt."""
        if isinstance(error, InvalidArguments) and error.permanent:
            return False
        return isinstance(error, self.on) and not isinstance(error, self.never_on)

    def custom_delay(self, attempt: int, error: BaseException) -> int | None:
        """Microseconds from the custom callable, capped; None when there is none."""
        if not callable(self.backoff):
            return None
        delay = microseconds(self.backoff(attempt, error), "backoff")
        return min(delay, self.stored.max_delay)


def _no_backoff(value: object) -> InvalidArguments:
    return InvalidArguments(
        'backoff: expected "exponential", "linear", "fixed", a list of delays'
        f" or a callable, got {value!r}"
    )
