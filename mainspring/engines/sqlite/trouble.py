"""SQLite's errors and the system's, as mainspring's."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from mainspring.errors import (
    MainspringError,
    SchemaError,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
)

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_AWAY = BUSY | {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
}

_UNREADABLE = "Could not decode to UTF-8"
_NOT_THERE = "no such table", "no such column"


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without the extension; 0 when the driver gives none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def translated(error: BaseException, place: str) -> MainspringError | None:
    """The error of ours that says the same about the file at `place`; None for all others, such
    as a mistake in a statement: that is a fault of this engine, and is shown as it is."""
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return (StoreFull if full else StoreUnavailable)(f"{place}: {error}")
    if not isinstance(error, sqlite3.Error):
        return None
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{place}: no space left ({error}); nothing was written")
    if code == sqlite3.SQLITE_NOTADB:
        return SchemaError(f"{place}: expected an SQLite database, got a file of something else")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreDamaged(f"{place}: {error}; restore a backup")
    if code in BUSY:
        return StoreUnavailable(f"{place}: another program kept the file locked ({error})")
    if code in _AWAY:
        return StoreUnavailable(f"{place}: {error}")
    if code in (sqlite3.SQLITE_ERROR, 0) and str(error).startswith(_UNREADABLE):
        return StoreDamaged(f"{place}: {error}; restore a backup")
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(_NOT_THERE):
        return SchemaError(f"{place}: {error}: other software changed the tables")
    return None


@contextmanager
def trouble(place: str) -> Iterator[None]:
    """Raise what SQLite and the system say in the block as errors of ours."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        ours = translated(error, place)
        if ours is None:
            raise
        raise ours from error
