"""Other task queues under the workloads of this benchmark, each in an environment of its own.

python -m bench.rivals [--only huey,rq,…] [--jobs N] [--json]
"""

from bench.rivals.contender import Contender
from bench.rivals.contest import lineup, run
from bench.rivals.errors import CannotRun, RivalFailed

__all__ = ["CannotRun", "Contender", "RivalFailed", "lineup", "run"]
