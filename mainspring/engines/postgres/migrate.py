"""The schema: made, brought up to date, or refused; by any number of processes at once."""

import re
import uuid
from pathlib import Path

import psycopg

from mainspring.engines.common.sections import sections
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


def migrate(connection: Connection, schema: str, place: str) -> int:
    """Apply what is missing, each migration as one transaction; the version reached."""
    if inspect(connection, schema, place) == VERSION:
        return VERSION
    _prepare(connection, schema, place)
    for number, path in MIGRATIONS:
        with connection.transaction():
            connection.execute(_in(schema, "lock"))
            if inspect(connection, schema, place) < number:
                connection.execute(qualified(path.read_text(encoding="utf-8"), schema))
                connection.execute(_in(schema, "set_version"), (str(number),))
    return VERSION


def inspect(connection: Connection, schema: str, place: str) -> int:
    """The version of the schema, 0 for none. `SchemaError` when it is not ours."""
    row = connection.execute(SQL["look"].encode(), (schema, schema, schema)).fetchone()
    assert row is not None
    ours, others = row
    if not ours:
        if others:
            raise SchemaError(
                f"{place}: expected a schema {schema!r} of mainspring or none, got one of another"
                " application; name another by ?schema=..."
            )
        return 0
    try:
        found = connection.execute(_in(schema, "version")).fetchone()
    except psycopg.errors.UndefinedColumn:
        raise SchemaError(f"{place}: the schema {schema!r} is one of another application") from None
    version = int(str(found[0])) if found else 0
    if version > VERSION:
        raise SchemaError(
            f"{place}: the schema has version {version}, this mainspring knows {VERSION};"
            " install a newer mainspring"
        )
    return version


def identity(connection: Connection, schema: str) -> str:
    """By what this store is known from all others."""
    row = connection.execute(_in(schema, "identity")).fetchone()
    return str(row[0]) if row else ""


def _prepare(connection: Connection, schema: str, place: str) -> None:
    """Make the schema and the table that all who migrate queue up at. Two who do so at once may
    fail each other, and try again."""
    for _ in range(_TRIES):
        try:
            with connection.transaction():
                # Who may use a schema made for him may perhaps not make one.
                if connection.execute(SQL["exists"].encode(), (schema,)).fetchone() is None:
                    connection.execute(_in(schema, "create_schema").rstrip(b"."))
                connection.execute(_in(schema, "create_meta"))
                connection.execute(_in(schema, "identify"), (str(uuid.uuid4()),))
            return
        except (
            psycopg.errors.UniqueViolation,
            psycopg.errors.DuplicateSchema,
            psycopg.errors.DuplicateTable,
            psycopg.errors.InternalError_,
        ):
            continue
    raise StoreUnavailable(f"{place}: the schema could not be made beside others; try again")


def _in(schema: str, name: str) -> bytes:
    return qualified(SQL[name], schema).encode()
