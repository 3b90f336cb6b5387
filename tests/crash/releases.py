"""Two releases of one application, importable by workers: `old` and `new`.

The new one has renamed an argument, which it says by a version and an upgrade, has a task more, and
one less.
"""

import os
from typing import Any

from mainspring import Mainspring, Tasks
from tests.crash.workload import PATIENT, begin, end

URL = os.environ.get("CRASH_URL", "sqlite://:memory:")

before = Tasks()


@before.task(retry=PATIENT)
def greet(mark: str, name: str) -> int:
    """Version 1."""
    begin(mark, 0)
    assert name == "Ada"
    return end(mark)


@before.task(retry=PATIENT)
def retired(mark: str) -> int:
    """Is not there any more in the new release."""
    begin(mark, 0)
    return end(mark)


after = Tasks()


@after.task(name="greet", version=2, retry=PATIENT)
def greet_whom(mark: str, whom: str) -> int:
    """Version 2."""
    begin(mark, 0)
    assert whom == "Ada"
    return end(mark)


@greet_whom.upgrade(from_=1)
def rename(payload: dict[str, Any]) -> dict[str, Any]:
    return {"mark": payload["mark"], "whom": payload["name"]}


@after.task(retry=PATIENT)
def fresh(mark: str) -> int:
    """Was not there in the old release."""
    begin(mark, 0)
    return end(mark)


old = Mainspring(URL, before)
new = Mainspring(URL, after)
