"""Everything at once, for some seconds: what `python3 dev.py chaos` does for minutes."""

import os
from pathlib import Path

import pytest

from tests.crash.chaos import chaos, page
from tests.crash.nemesis import ENGINES

SECONDS = float(os.environ.get("CRASH_SECONDS", "10"))
SEED = int(os.environ.get("CRASH_SEED", "1"))

pytestmark = [pytest.mark.crash, pytest.mark.timeout(SECONDS + 200)]


@pytest.mark.parametrize("engine", ENGINES)
def test_mixed_faults_under_a_mixed_load_break_no_promise(tmp_path: Path, engine: str) -> None:
    outcome = chaos(engine, tmp_path, SECONDS, SEED)
    report = page([outcome], SECONDS, SEED)
    assert outcome.verdict.broken == [], f"{report}\n{outcome.log[-3000:]}"
    assert outcome.verdict.is_evidence, report
