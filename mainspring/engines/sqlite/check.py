"""Check: every invariant of the file that one snapshot can show."""

from sqlite3 import SQLITE_CORRUPT, Connection, DatabaseError

from mainspring.engines.sqlite.sections import sections
from mainspring.engines.sqlite.trouble import primary_code

SQL = sections(__file__)

EXAMPLES = 10
"""Of each kind of damage, so many sentences."""


def check(connection: Connection) -> list[str]:
    """What is broken, in sentences. Each section of check.sql looks for one kind of damage."""
    found = []
    for statement in ("SELECT quick_check FROM pragma_quick_check", *SQL.values()):
        try:
            rows = connection.execute(f"{statement}\nLIMIT ?", (EXAMPLES + 1,)).fetchall()
        except DatabaseError as error:
            if primary_code(error) != SQLITE_CORRUPT:
                raise
            rows = [(str(error),)]
        sentences = [sentence for (sentence,) in rows if sentence != "ok"]
        found += sentences[:EXAMPLES]
        if len(sentences) > EXAMPLES:
            found.append(f"… and more of: {sentences[EXAMPLES]}")
    return found
