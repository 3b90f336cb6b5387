"""Trouble: what the answers of a server that are none mean, as the errors of this library."""

from collections.abc import Mapping

from mainspring.errors import MainspringError, StoreUnavailable
from mainspring.trouble import BY_STATUS, told


def trouble(status: int, headers: Mapping[str, str], body: bytes) -> MainspringError:
    """The error that an answer tells of."""
    problem = told(body)
    words = problem.detail or f"expected a mainspring server, got an answer of status {status}"
    if status in (429, 503) and (after := headers.get("retry-after")):
        words += f"; it may be tried again in {after} s"
    otherwise = StoreUnavailable if status == 500 else MainspringError
    return problem.error(words, BY_STATUS.get(status, otherwise))
