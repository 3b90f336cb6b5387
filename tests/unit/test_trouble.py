"""Errors that go over the wire as problem documents are the same errors at the other end."""

from uuid import uuid4

import pytest

from mainspring import errors
from mainspring.errors import (
    MainspringError,
    PartlyUnavailable,
    QueueFull,
    StoreGone,
    StoreUnavailable,
    UniqueTaken,
    VersionConflict,
)
from mainspring.server.forms.problems import problem_of
from mainspring.trouble import told

WITH_MORE: dict[type[MainspringError], tuple[object, ...]] = {
    UniqueTaken: (uuid4().bytes,),
    QueueFull: ("mail",),
    VersionConflict: ("key", 3, 4),
    PartlyUnavailable: ([], []),
}
OF_THE_SERVER = {PartlyUnavailable, StoreGone}


@pytest.mark.parametrize(
    "kind",
    [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, MainspringError)
    ],
)
def test_an_error_comes_back_as_it_was_with_all_it_holds(kind: type[MainspringError]) -> None:
    error = kind("why", *WITH_MORE.get(kind, ()))
    found = told(bytes(problem_of(error).response().body)).error("why", MainspringError)
    if kind in OF_THE_SERVER:
        assert type(found) is StoreUnavailable
    else:
        assert type(found) is kind
        assert vars(found) == vars(error)
    assert str(found) == "why"
