"""Check: every invariant of the file that one snapshot can show."""

from sqlite3 import Connection

from mainspring.engines.sqlite.sections import sections

SQL = sections(__file__)

EXAMPLES = 10
"""Of each kind of damage, so many sentences."""


def check(connection: Connection) -> list[str]:
    """What is broken, in sentences. Each section of check.sql looks for one kind of damage."""
    found = [
        f"SQLite: {sentence}"
        for (sentence,) in connection.execute("PRAGMA quick_check").fetchall()
        if sentence != "ok"
    ]
    for statement in SQL.values():
        rows = connection.execute(f"{statement}\nLIMIT ?", (EXAMPLES + 1,)).fetchall()
        found += [sentence for (sentence,) in rows[:EXAMPLES]]
        if len(rows) > EXAMPLES:
            found.append(f"… and more of: {rows[EXAMPLES][0]}")
    return found
