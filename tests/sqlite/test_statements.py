"""The statements: each compiles, and none reads a whole table that grows with the jobs."""

import re
import sqlite3
from pathlib import Path

import pytest

import mainspring.engines.sqlite as engine
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.migrate import MIGRATIONS

FOLDER = Path(engine.__file__).parent
STATEMENTS = {
    f"{file.stem}:{name}": statement
    for file in sorted(FOLDER.glob("*.sql"))
    for name, statement in sections(str(file)).items()
    if file.stem != "selection" or not name.startswith(("if_", "of_", "order"))
}

LARGE = {
    *("job", "ready", "later", "blocked", "running", "finished", "error", "edge", "ukey"),
    *("expiry", "mark", "progress", "log", "kv", "post"),
}

MAY_SCAN = {
    "selection:any": "pages: stops after some rows",
    "selection:none": "stops at once",
    "selection:in_scheduled": "one state's table, newest first",
    "selection:in_retrying": "one state's table, newest first",
    "selection:in_blocked": "one state's table, newest first",
    "selection:in_running": "one state's table, newest first",
    "selection:in_completed": "pages: stops after some rows",
    "selection:in_pending": "only when few are pending",
    "selection:in_no_other": "pages: stops after some rows",
    "leases:cancels": "an index of those that are to be cancelled",
    "leases:unpark": "an index of those that are parked",
}


@pytest.fixture(scope="module")
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for _, path in MIGRATIONS:
        connection.executescript(path.read_text())
    return connection


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    names = re.findall(r":([a-z_]+)", statement)
    parameters = dict.fromkeys(names) if names else [None] * 20
    while True:
        try:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        except sqlite3.ProgrammingError as error:
            uses = re.search(r"uses (\d+)", str(error))
            if not uses or isinstance(parameters, dict):
                raise
            parameters = [None] * int(uses[1])
        else:
            return [detail for *_, detail in rows]


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_compiles_and_reads_by_index(connection: sqlite3.Connection, name: str) -> None:
    details = plan(connection, STATEMENTS[name])
    if name.startswith("check:") or name in MAY_SCAN:
        return
    aliases = dict(
        (alias, table)
        for table, alias in re.findall(r"(?:FROM|JOIN) (\w+) (\w+)", STATEMENTS[name])
    )
    scanned = {match[1] for detail in details if (match := re.match(r"SCAN (\w+)", detail))}
    assert not {aliases.get(each, each) for each in scanned} & LARGE


def test_every_statement_is_used() -> None:
    for file in sorted(FOLDER.glob("*.sql")):
        code = file.with_suffix(".py").read_text()
        if file.stem in ("check", "selection", "names"):
            continue  # all sections are gone through, or their names are put together
        unused = [name for name in sections(str(file)) if f'"{name}"' not in code]
        assert not unused, f"{file.name}: {unused}"
