"""Real servers for tests: started privately on free ports, ended with the session."""

import atexit
from contextlib import ExitStack

at_end = ExitStack()
"""What takes servers away. A process that runs a part of the tests is given little time once its
session is over, and a server's files are many: tests/conftest.py closes this within the session."""

atexit.register(at_end.close)
