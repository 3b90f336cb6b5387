"""Check: every invariant of the database that one snapshot can show."""

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.reader import Reader

SQL = sections(__file__)

EXAMPLES = 10
"""Of each kind of damage, so many sentences."""


def check(reader: Reader) -> list[str]:
    """What is broken, in sentences. Each section of check.sql looks for one kind of damage."""
    found = []
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        for statement in SQL.values():
            rows = reader.rows(f"{statement}\nLIMIT %b::bigint", (EXAMPLES + 1,))
            sentences = [sentence for (sentence,) in rows]
            found += sentences[:EXAMPLES]
            if len(sentences) > EXAMPLES:
                found.append(f"… and more of: {sentences[EXAMPLES]}")
    finally:
        reader.run("ROLLBACK")
    return found
