"""PostgreSQL's errors and the network's, as mainspring's."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from mainspring.errors import (
    MainspringError,
    SchemaError,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
)

AGAIN = (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)
"""Who is told this did nothing and may try the same at once. (Of the unique things some are made
by two who could not see each other.)"""

_FULL = ("53100", "53200")
_DAMAGED = ("XX001", "XX002")
_NOT_OURS = ("3F000", "42P01", "42883", "42703")
_AWAY = ("08", "25", "53", "55", "57", "58")
"""Classes of conditions that pass."""


def is_lost(error: BaseException) -> bool:
    """Whether the connection itself is gone, or never was."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(("08", "57P0", "25P03", "25P04"))


def translated(error: BaseException, place: str) -> MainspringError | None:
    """The error of ours that says the same about the database at `place`; None for all others,
    such as a mistake in a statement: that is a fault of this engine, and is shown as it is."""
    if isinstance(error, OSError):
        return StoreUnavailable(f"{place}: {error}")
    if not isinstance(error, psycopg.Error):
        return None
    state, said = error.sqlstate or "", " ".join(str(error).split())
    if state in _FULL:
        return StoreFull(f"{place}: the server has no space left ({said}); nothing was written")
    if state in _DAMAGED:
        return StoreDamaged(f"{place}: {said}; restore a backup, or run `mainspring check`")
    if state in _NOT_OURS:
        return SchemaError(
            f"{place}: something of mainspring's schema is missing ({said});"
            " was it removed while it was in use?"
        )
    if state.startswith(_AWAY) or is_lost(error) or isinstance(error, AGAIN):
        return StoreUnavailable(f"{place}: {said}")
    if state == "42501":
        return StoreUnavailable(f"{place}: the user may not do this ({said})")
    return None


@contextmanager
def trouble(place: str) -> Iterator[None]:
    """Raise what PostgreSQL and the network say in the block as errors of ours."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        ours = translated(error, place)
        if ours is None:
            raise
        raise ours from error
