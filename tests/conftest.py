"""What all tests share: their order, how Hypothesis searches, how processes begin, and when servers
end.

The profile `fixed` (the default) tries the same examples at every run, so that a change that passes
here passes everywhere; `pytest --hypothesis-profile=explore --timeout=0` looks for new ones.
"""

import multiprocessing
import os
import signal
import sys
from itertools import groupby
from operator import attrgetter, itemgetter

import pytest
from hypothesis import settings

from tests.servers import at_end

settings.register_profile("fixed", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("fixed")

# Where tests run in the background these may be ignored, and every program started from here would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# So would it be with a wish for no bytecode: each of a thousand programs would first compile the
# whole library.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Processes of the "forkserver" sort begin clean, yet with what all of them import.
multiprocessing.set_forkserver_preload(
    ["pytest", "tests.contract.stage", "mainspring.engines.sqlite.store"]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lay the files of `crash`, whose tests mostly wait, evenly among those that compute: where
    several run at once there is something to do while one waits."""
    files = [list(tests) for _, tests in groupby(items, key=attrgetter("path"))]
    laid: list[tuple[float, list[pytest.Item]]] = []
    for waits in (False, True):
        some = [tests for tests in files if ("crash" in tests[0].path.parts) is waits]
        before, total = 0, sum(map(len, some))
        for tests in some:
            laid.append((before / total, tests))
            before += len(tests)
    items[:] = [test for _, tests in sorted(laid, key=itemgetter(0)) for test in tests]


def pytest_sessionfinish() -> None:
    at_end.close()
