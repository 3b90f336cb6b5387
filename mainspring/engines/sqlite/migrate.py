"""The schema: made, brought up to date, or refused; by any number of processes at once."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection, OperationalError, sqlite_version, sqlite_version_info

from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import clock
from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.connection import connect, create_private
from mainspring.engines.sqlite.locks import QueueLock
from mainspring.engines.sqlite.trouble import BUSY, primary_code, trouble
from mainspring.errors import ConfigError, SchemaError

SQL = sections(__file__)

OLDEST_SQLITE = (3, 35, 0)

APPLICATION_ID = 0x6D737067
"""The bytes "mspg", by which SQLite files of ours are known."""

_FOLDER = Path(__file__).with_name("migrations")
_NAME = re.compile(r"(\d{4})_\w+\.sql")
MIGRATIONS = [
    (int(match[1]), path)
    for path in sorted(_FOLDER.iterdir())
    if (match := _NAME.fullmatch(path.name))
]
VERSION = MIGRATIONS[-1][0]


def inspect(connection: Connection, place: str) -> int:
    """The version of the schema, 0 for an empty file. `SchemaError` when it is not ours."""
    application, version, tables = connection.execute(SQL["inspect"]).fetchall()[0]
    if application == APPLICATION_ID:
        if version > VERSION:
            raise SchemaError(
                f"{place}: the schema has version {version}, this mainspring knows {VERSION};"
                " install a newer mainspring"
            )
        return int(version)
    if application or tables:
        raise SchemaError(
            f"{place}: expected a database of mainspring or a new file,"
            " got a database of another application"
        )
    return 0


def require_version() -> None:
    """`ConfigError` when Python's SQLite is too old for the statements of this engine."""
    if sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigError(
            f"SQLite {oldest} or newer is needed, this Python has {sqlite_version};"
            " use a Python that brings a newer one"
        )


def migrate_file(address: Address) -> int:
    """Bring the file up to date, making it if there is none; the version reached."""
    assert address.path is not None
    with trouble(address.place), _alone(address) as connection:
        return migrate(connection, address.place)


def prepare_file(address: Address) -> None:
    """Make the file if there is none, and bring its schema up to date; see that it is ours."""
    with trouble(address.place), _alone(address) as connection:
        if inspect(connection, address.place) < VERSION:
            migrate(connection, address.place)
        _notice_restart(connection)


@contextmanager
def _alone(address: Address) -> Iterator[Connection]:
    """A connection to the file, in the queue of its writers."""
    assert address.path is not None
    create_private(address.path)
    queue = QueueLock(f"{address.path}-lock")
    connection = connect(address)
    try:
        with queue.held():
            yield connection
    finally:
        connection.close()
        queue.close()


def use_log(connection: Connection) -> None:
    """Switch the file to a write-ahead log, which it then keeps. Needs the file for itself."""
    end = time.monotonic() + 5
    while connection.execute(SQL["journal"]).fetchall()[0][0] not in ("wal", "memory"):
        try:
            connection.execute(SQL["use_log"])
        except OperationalError as error:
            # SQLite does not wait by itself for this lock.
            if primary_code(error) not in BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def migrate(connection: Connection, place: str) -> int:
    """Apply what is missing, each migration as one transaction; the version reached."""
    if inspect(connection, place) == 0:
        use_log(connection)
    for number, path in MIGRATIONS:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if inspect(connection, place) < number:
                for statement in _statements(path.read_text(encoding="utf-8")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return VERSION


def _statements(script: str) -> list[str]:
    """The statements of a script; `executescript` would end the transaction."""
    bare = re.sub(r"--.*", "", script)
    return [statement for statement in bare.split(";") if statement.strip()]


def _notice_restart(connection: Connection) -> None:
    """End all leases if the machine was started anew since they were given."""
    known = connection.execute(SQL["boot"]).fetchall()
    if known == [(clock.BOOT_ID,)]:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(SQL["set_boot"], (clock.BOOT_ID,))
        if known and clock.BOOT_ID:
            connection.execute(SQL["end_leases"])
            connection.execute(SQL["end_workers"])
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
