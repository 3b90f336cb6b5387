"""Check: every invariant of the file that one snapshot can show."""

from collections.abc import Callable, Iterator
from itertools import islice
from sqlite3 import SQLITE_CORRUPT, Connection, DatabaseError
from typing import Any

from mainspring.engines.common.extra import decode_extra, decode_headers
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.trouble import primary_code
from mainspring.job import decode_policy

SQL = sections(__file__)

EXAMPLES = 10
"""Of each kind of damage, so many sentences."""

ENCODED: dict[str, tuple[str, Callable[[Any], object]]] = {
    "headers": ("headers", decode_headers),
    "extras": ("options", decode_extra),
    "policies": ("policy", decode_policy),
}
"""Sections that give (number, column) of jobs; what is in the column, and what must read it."""


def check(connection: Connection) -> list[str]:
    """What is broken, in sentences. Each section of check.sql looks for one kind of damage."""
    found = _examples(connection, "quick_check", "SELECT quick_check FROM pragma_quick_check")
    for name, statement in SQL.items():
        found += _examples(connection, name, statement)
    return found


def _examples(connection: Connection, name: str, statement: str) -> list[str]:
    try:
        told = list(islice(sentences(connection, name, statement), EXAMPLES + 1))
    except DatabaseError as error:
        if primary_code(error) != SQLITE_CORRUPT:
            raise
        told = [str(error)]
    if len(told) > EXAMPLES:
        told[EXAMPLES] = f"… and more of: {told[EXAMPLES]}"
    return told


def sentences(connection: Connection, name: str, statement: str) -> Iterator[str]:
    """What this section finds."""
    rows = connection.execute(statement)
    if name not in ENCODED:
        yield from (sentence for (sentence,) in rows if sentence != "ok")
        return
    what, decode = ENCODED[name]
    for number, column in rows:
        try:
            decode(column)
        except (ValueError, TypeError) as error:
            yield f"job #{number}: its {what} cannot be read: {error}"
