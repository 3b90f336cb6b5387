"""Any sequence of verbs gives what the model of one store says, if one shard has all queues."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from mainspring.engines import open_store
from tests.contract import test_model

ONE_OF_TWO = "shards://a=sqlite://:memory: b=sqlite://:memory: draining=b"


@pytest.mark.timeout(400)  # as in the contract
def test_any_sequence_of_verbs_over_shards_gives_what_the_model_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_model, "open_store", lambda url: open_store(ONE_OF_TWO))
    machine = settings(max_examples=max(60, settings().max_examples // 3), stateful_step_count=50)
    run_state_machine_as_test(test_model.Verbs, settings=machine)
