"""What an engine cannot do it refuses in words, and nothing is changed."""

import pytest

from mainspring.errors import Unsupported
from mainspring.job import State, Succeeded
from mainspring.lifecycle import decide
from tests.contract.stage import LEASE, Stage, everything, new

pytestmark = pytest.mark.usefixtures("no_transactions")


def test_a_jobs_own_transaction_is_refused_where_there_is_none(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    with (
        pytest.raises(Unsupported),
        stage.store.transaction(held, decide(held, Succeeded()), lease=LEASE),
    ):
        pass
    assert stage.state(job) is State.RUNNING


def test_an_insert_in_a_callers_transaction_is_refused_where_there_is_none(stage: Stage) -> None:
    with pytest.raises(Unsupported):
        stage.store.insert([new()], connection=object(), now=stage.now)
    assert everything(stage.store) == []
