"""Any sequence of verbs gives on PostgreSQL, too, what the model of the contract says."""

import itertools

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from mainspring.engines import open_store
from mainspring.store import Store
from tests.contract.test_model import STEPS, Verbs
from tests.servers.postgres import server_url

RUNS = 25
FEWEST_STEPS = 500


@pytest.mark.timeout(400)  # seconds when all is well; minutes when a failure is being made small
def test_any_sequence_of_verbs_gives_what_the_model_says() -> None:
    schemas = itertools.count()

    class OnPostgres(Verbs):
        def open(self) -> Store:
            return open_store(f"{server_url()}&schema=model_{next(schemas)}")

    Verbs.steps_of_all = 0
    runs = max(RUNS, settings().max_examples)
    run_state_machine_as_test(
        OnPostgres, settings=settings(max_examples=runs, stateful_step_count=STEPS)
    )
    assert Verbs.steps_of_all >= FEWEST_STEPS
