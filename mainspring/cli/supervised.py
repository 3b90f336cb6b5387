"""Supervised: `python -m mainspring.cli.supervised PARENT COMMAND...` runs a command that ends
with its parent."""

import os
import signal
import sys
import threading
import time

from mainspring.cli import run

LOOK = 0.5
"""Seconds between two looks at whether the parent lives."""


def main(parent: str, *command: str) -> int:
    """Carry out the command; SIGTERM comes from here when the parent is gone."""
    threading.Thread(target=_follow, args=(int(parent),), daemon=True).start()
    return run(command)


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
