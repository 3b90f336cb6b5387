"""Health: how the file stands, and what its owner should know."""

import os
import sqlite3
from sqlite3 import Connection

from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.migrate import VERSION
from mainspring.store import Health

BIG_LOG = 256 * 1024 * 1024
DURABILITIES = {
    "full": "full: an answered write survives a crash of the machine",
    "relaxed": "relaxed: a crash of the machine may lose the last moments, a crash of a program"
    " nothing",
}


def has_reset_race(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite can lose commits around checkpoints (the WAL-reset race)."""
    repaired = version[:2] == (3, 50) and version >= (3, 50, 7)
    repaired = repaired or (version[:2] == (3, 44) and version >= (3, 44, 6))
    return (3, 7, 0) <= version < (3, 51, 3) and not repaired


def health(connection: Connection, address: Address) -> Health:
    """Words and figures; sizes in bytes."""
    ((free,),) = connection.execute("SELECT freelist_count FROM pragma_freelist_count").fetchall()
    ((page,),) = connection.execute("SELECT page_size FROM pragma_page_size").fetchall()
    figures = {"free_bytes": float(free * page)}
    warnings = []
    if address.path is None:
        durability = "none: the data is gone when the store is closed"
    else:
        durability = DURABILITIES[address.durability]
        figures["file_bytes"] = _size(address.path)
        figures["log_bytes"] = _size(f"{address.path}-wal")
        if figures["log_bytes"] > BIG_LOG:
            warnings.append(
                f"the write-ahead log has {figures['log_bytes']:,.0f} bytes:"
                " some program keeps a transaction open on the file; end it"
            )
        if has_reset_race(sqlite3.sqlite_version_info[:3]):
            warnings.append(
                f"SQLite {sqlite3.sqlite_version} can lose commits when two checkpoints meet;"
                " mainspring avoids that, but other programs that write to the file should set"
                " PRAGMA wal_autocheckpoint=0, or SQLite should be 3.51.3 or newer"
            )
    return Health(
        engine="sqlite",
        version=f"SQLite {sqlite3.sqlite_version}",
        schema=VERSION,
        durability=durability,
        warnings=tuple(warnings),
        figures=figures,
    )


def _size(path: str) -> float:
    try:
        return float(os.stat(path).st_size)
    except OSError:
        return 0.0
