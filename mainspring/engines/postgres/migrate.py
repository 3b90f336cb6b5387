"""The schema: made, brought up to date, or refused; by any number of processes at once."""

import re
import uuid
from pathlib import Path

import psycopg

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.connection import Connection
from mainspring.engines.postgres.reader import qualified
from mainspring.errors import SchemaError, StoreUnavailable

SQL = sections(__file__)

_FOLDER = Path(__file__).with_name("migrations")
_NAME = re.compile(r"(\d{4})_\w+\.sql")
MIGRATIONS = [
    (int(match[1]), path)
    for path in sorted(_FOLDER.iterdir())
    if (match := _NAME.fullmatch(path.name))
]
VERSION = MIGRATIONS[-1][0]

_TRIES = 10


def migrate(connection: Connection, address: Address) -> int:
    """Apply what is missing, each migration as one transaction; the version reached."""
    if inspect(connection, address) == VERSION:
        return VERSION
    _prepare(connection, address)
    for number, path in MIGRATIONS:
        with connection.transaction():
            connection.execute(_in(address, "lock"))
            if inspect(connection, address) < number:
                connection.execute(qualified(path.read_text(encoding="utf-8"), address.tables))
                connection.execute(_in(address, "set_version"), (str(number),))
    return VERSION


def inspect(connection: Connection, address: Address) -> int:
    """The version of the schema, 0 for none. `SchemaError` when it is not ours."""
    look = {"schema": address.schema, "prefix": address.prefix}
    row = connection.execute(SQL["look"].encode(), look).fetchone()
    assert row is not None
    ours, others = row
    if not ours:
        if others:
            raise SchemaError(
                f"{address.place}: expected {_told(address)} of mainspring or none, got one of"
                " another application; name another by ?schema=..., or give the tables names of"
                " their own by ?prefix=..."
            )
        return 0
    try:
        found = connection.execute(_in(address, "version")).fetchone()
    except psycopg.errors.UndefinedColumn:
        raise SchemaError(
            f"{address.place}: {_told(address)} is one of another application"
        ) from None
    version = int(str(found[0])) if found else 0
    if version > VERSION:
        raise SchemaError(
            f"{address.place}: the schema has version {version}, this mainspring knows {VERSION};"
            " install a newer mainspring"
        )
    return version


def identity(connection: Connection, address: Address) -> str:
    """By what this store is known from all others."""
    row = connection.execute(_in(address, "identity")).fetchone()
    return str(row[0]) if row else ""


def _prepare(connection: Connection, address: Address) -> None:
    """Make the schema and the table that all who migrate queue up at. Two who do so at once may
    fail each other, and try again."""
    for _ in range(_TRIES):
        try:
            with connection.transaction():
                # Who may use a schema made for him may perhaps not make one.
                if connection.execute(SQL["exists"].encode(), (address.schema,)).fetchone() is None:
                    connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{address.schema}"'.encode())
                connection.execute(_in(address, "create_meta"))
                connection.execute(_in(address, "identify"), (str(uuid.uuid4()),))
            return
        except (
            psycopg.errors.UniqueViolation,
            psycopg.errors.DuplicateSchema,
            psycopg.errors.DuplicateTable,
            psycopg.errors.InternalError_,
        ):
            continue
    raise StoreUnavailable(
        f"{address.place}: the schema could not be made beside others; try again"
    )


def _in(address: Address, name: str) -> bytes:
    return qualified(SQL[name], address.tables).encode()


def _told(address: Address) -> str:
    under = f" with tables called {address.prefix}..." if address.prefix else ""
    return f"a schema {address.schema!r}{under}"
