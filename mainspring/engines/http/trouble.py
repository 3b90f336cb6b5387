"""Trouble: what the answers of a server that are none mean, as the errors a store raises."""

from mainspring.engines.http.address import VARIABLE
from mainspring.engines.http.lines import Answer
from mainspring.errors import MainspringError, SchemaError
from mainspring.trouble import BY_STATUS, told

OTHERS = {**BY_STATUS, 404: SchemaError, 405: SchemaError, 415: SchemaError}
"""That of another server, or of another version of this one."""


def trouble(place: str, answer: Answer) -> MainspringError:
    """The error that an answer tells of."""
    problem = told(answer.body)
    words = problem.detail or f"{place}: expected a mainspring server, got status {answer.status}"
    if not problem.named:
        if answer.status == 404:
            words = f"{place}: expected a mainspring server of this version, got none ({words})"
        elif place not in words:
            words = f"{place}: {words}"
    if answer.status == 401:
        words += f" (say it by api_key= or {VARIABLE})"
    return problem.error(words, OTHERS.get(answer.status, MainspringError))
