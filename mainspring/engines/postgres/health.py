"""Health: how the server stands, and what its owner should know."""

import time

import psycopg

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.connection import is_pooled
from mainspring.engines.postgres.migrate import VERSION
from mainspring.engines.postgres.reader import Reader
from mainspring.store import Health

SQL = sections(__file__)

OLDEST = 130_000
FAR_OFF = 1.0
LONG_TRANSACTION = 300.0
"""Seconds from which on the clocks' difference, or a transaction's age, is worth a warning."""

DURABILITIES = {
    "off": "relaxed: a crash of the server may lose the last moments (synchronous_commit is off)",
    "local": "full: an answered write survives a crash of the server; standbys may lag behind",
    "on": "full: an answered write survives a crash of the server",
    "remote_write": "full: an answered write survives a crash of the server, and a standby has it",
    "remote_apply": "full: an answered write survives a crash of the server, and a standby has it",
}


def health(reader: Reader, address: Address) -> Health:
    """Words and figures; sizes in bytes, times in seconds."""
    before = time.time()
    names = {"schema": address.schema, "prefix": address.prefix}
    row = reader.row(SQL["server"], names)
    version, number, commit, fsync, encoding, clock, oldest, size, dead, used, most = row
    assert isinstance(reader.connection, psycopg.Connection)
    pooled = is_pooled(reader.connection)
    offset = clock - (before + time.time()) / 2
    warnings = []
    durability = DURABILITIES.get(commit, commit)
    if fsync != "on":
        durability = "none: a crash of the machine may destroy the database (fsync is off)"
        warnings.append("fsync is off: set fsync = on in postgresql.conf and restart the server")
    if commit == "off":
        warnings.append(
            "synchronous_commit is off: set it to on, for this user or database, if no"
            " acknowledged job may be lost"
        )
    if number < OLDEST:
        warnings.append(f"PostgreSQL {version} is older than 13; upgrade the server")
    if encoding != "UTF8":
        warnings.append(f"the database has the encoding {encoding}; make one with UTF8")
    if abs(offset) > FAR_OFF:
        warnings.append(
            f"the server's clock is {offset:+.1f} s off this machine's; the server's is used,"
            " but set both right"
        )
    if oldest > LONG_TRANSACTION:
        warnings.append(
            f"a transaction has been open for {oldest:.0f} s: what is deleted is not cleaned up"
            " meanwhile and claims get slower; end it (pg_stat_activity tells whose)"
        )
    if used > 0.9 * most:
        warnings.append(f"{used} of {most} connections are used; raise max_connections")
    if address.listen == "off" or (pooled and address.listens_by_chance):
        warnings.append(
            "notifications are not listened for"
            + (", since a pooler stands between" if pooled else "")
            + ": workers look for jobs every second; give a URL past any pooler as listen=..."
        )
    return Health(
        engine="postgres",
        version=f"PostgreSQL {version}",
        schema=VERSION,
        place=_place(address, pooled),
        durability=durability,
        warnings=tuple(warnings),
        figures={
            "size_bytes": float(size),
            "dead_rows": float(dead),
            "clock_offset_seconds": offset,
            "oldest_transaction_seconds": float(oldest),
            "connections": float(used),
        },
    )


def _place(address: Address, pooled: bool) -> str:
    named = f", tables {address.prefix}*" if address.prefix else ""
    way = "through a pooler" if pooled else "no pooler between"
    return f"schema {address.schema}{named}; {way}"
