"""Refusals: why something was not done, in the words and with the statuses of Synap."""

from mainspring.errors import NotInteger, StoreFull
from mainspring.server.forms.problems import problem_of

UNPROCESSABLE = 422


class Refused(Exception):
    """Something was not done. REST answers with the status, a command with the words alone."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def invalid(words: str) -> Refused:
    """A request that is not what it must be."""
    return Refused(400, f"Invalid request: {words}")


def missing(field: str) -> Refused:
    """A request that lacks something."""
    return invalid(f"Missing '{field}' field")


def forbidden(words: str) -> Refused:
    """What this caller may not do."""
    return Refused(403, f"Forbidden: {words}")


def refusal_of(error: Exception) -> Refused:
    """What to tell of an error. One that nobody expected is logged, and its words are kept back."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, NotInteger):
        return Refused(400, f"Invalid value: {error}")
    if isinstance(error, StoreFull):
        return Refused(507, f"Memory limit exceeded: {error}")
    problem = problem_of(error)
    if problem.status in (400, 413, UNPROCESSABLE):
        return invalid(problem.detail)
    if problem.status == 403:
        return forbidden(problem.detail)
    if problem.status == 500:
        return Refused(500, f"Internal error: {problem.detail}")
    return Refused(problem.status, problem.detail)
