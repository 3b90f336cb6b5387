"""What a retry policy promises about delays, and what it refuses."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.durations import DAY, SECOND
from mainspring.errors import InvalidArguments
from mainspring.retry import JITTER, MOST_RETRIES, Backoff, Retry

seconds = st.floats(0, 30 * 86_400, allow_nan=False)
attempts = st.one_of(st.integers(1, 100), st.integers(1, MOST_RETRIES + 1))
seeds = st.binary(min_size=16, max_size=16)


@st.composite
def policies(draw: st.DrawFn, jitter: bool | None = None, kinds: str = "all") -> Backoff:
    curves = st.sampled_from(["exponential", "linear", "fixed"])
    delays = st.lists(seconds, min_size=1, max_size=6)
    return Retry(
        max_retries=draw(st.integers(0, MOST_RETRIES)),
        backoff=draw(curves if kinds == "curves" else st.one_of(curves, delays)),
        base=draw(seconds),
        factor=draw(st.floats(1, 100)),
        max_delay=draw(seconds),
        jitter=draw(st.booleans()) if jitter is None else jitter,
    ).stored


@given(policies(), attempts, seeds)
def test_a_delay_is_never_negative_and_never_above_its_cap(
    policy: Backoff, attempt: int, seed: bytes
) -> None:
    assert 0 <= policy.delay(attempt, seed) <= policy.max_delay


@given(policies(jitter=False, kinds="curves"), attempts)
def test_without_jitter_the_next_delay_of_a_curve_is_never_shorter(
    policy: Backoff, attempt: int
) -> None:
    assert policy.delay(attempt) <= policy.delay(attempt + 1)


@given(policies(jitter=False), attempts, seeds)
def test_jitter_takes_off_at_most_a_quarter_and_adds_nothing(
    policy: Backoff, attempt: int, seed: bytes
) -> None:
    plain = policy.delay(attempt, seed)
    jittered = Backoff(
        policy.max_retries,
        policy.kind,
        policy.base,
        policy.factor,
        policy.max_delay,
        policy.delays,
        jitter=True,
    ).delay(attempt, seed)
    assert plain * (1 - JITTER) - 1 <= jittered <= plain


@given(policies(), attempts, seeds)
def test_the_same_job_and_attempt_give_the_same_delay_in_any_process(
    policy: Backoff, attempt: int, seed: bytes
) -> None:
    again = Backoff(*(getattr(policy, name) for name in policy.__struct_fields__))
    assert policy.delay(attempt, seed) == again.delay(attempt, seed)


def test_jitter_spreads_jobs_that_failed_together() -> None:
    delays = {Retry(base=100).stored.delay(1, bytes([n]) * 16) for n in range(100)}
    assert len(delays) > 50


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (Retry(jitter=False), [1, 2, 4, 8]),
        (Retry(jitter=False, base="1s", factor=3, max_delay=10), [1, 3, 9, 10]),
        (Retry(jitter=False, backoff="linear", base=5), [5, 10, 15, 20]),
        (Retry(jitter=False, backoff="fixed", base=timedelta(seconds=7)), [7, 7, 7, 7]),
        (Retry(jitter=False, backoff=[10, "1m", timedelta(minutes=2)]), [10, 60, 120, 120]),
    ],
    ids=["exponential", "factor and cap", "linear", "fixed", "list, the last repeats"],
)
def test_the_curves_are_what_their_names_say(retry: Retry, expected: list[int]) -> None:
    delays = [retry.stored.delay(attempt) / SECOND for attempt in range(1, 5)]
    assert delays == expected


def test_by_default_a_job_runs_four_times_and_waits_at_most_five_minutes() -> None:
    assert Retry().max_retries == 3
    assert Retry(jitter=False).stored.delay(1000) == 300 * SECOND


def test_a_million_attempts_overflow_nothing() -> None:
    policy = Retry(max_retries=MOST_RETRIES, factor=100, max_delay=30 * 86_400, jitter=False)
    assert policy.stored.delay(MOST_RETRIES) == 30 * DAY


def test_a_custom_delay_is_asked_with_attempt_and_error_and_is_capped() -> None:
    asked: list[tuple[int, BaseException]] = []

    def custom(attempt: int, error: BaseException) -> str:
        asked.append((attempt, error))
        return "10m" if attempt > 1 else "3s"

    retry, error = Retry(backoff=custom), ValueError("no")
    assert retry.custom_delay(1, error) == 3 * SECOND
    assert retry.custom_delay(2, error) == 300 * SECOND
    assert asked == [(1, error), (2, error)]


def test_where_the_custom_callable_is_missing_the_exponential_policy_answers() -> None:
    retry = Retry(backoff=lambda attempt, error: 60, jitter=False)
    assert retry.stored.delay(2) == 2 * SECOND
    assert Retry().custom_delay(1, ValueError()) is None


def test_only_errors_of_the_wanted_kinds_are_worth_another_attempt() -> None:
    retry = Retry(on=(OSError,), never_on=FileNotFoundError)  # type: ignore[arg-type]
    assert retry.wants(ConnectionError())
    assert not retry.wants(FileNotFoundError())
    assert not retry.wants(ValueError())
    assert not Retry().wants(KeyboardInterrupt())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"max_retries": -1}, ["max_retries", "-1"]),
        ({"max_retries": MOST_RETRIES + 1}, ["max_retries", "1000001"]),
        ({"max_retries": True}, ["max_retries", "True"]),
        ({"max_retries": "3"}, ["max_retries", "'3'"]),
        ({"factor": 0.5}, ["factor", "0.5"]),
        ({"factor": 101}, ["factor", "101"]),
        ({"factor": float("nan")}, ["factor", "nan"]),
        ({"factor": "2"}, ["factor", "'2'"]),
        ({"backoff": "quadratic"}, ["backoff", "'quadratic'"]),
        ({"backoff": []}, ["backoff", "empty"]),
        ({"backoff": 5}, ["backoff", "5"]),
        ({"backoff": [1, -2]}, ["backoff", "-2"]),
        ({"base": -1}, ["base", "-1"]),
        ({"max_delay": "31d"}, ["max_delay", "30 days", "'31d'"]),
        ({"on": (3,)}, ["on", "3"]),
        ({"on": 3}, ["on", "3"]),
        ({"never_on": ("ValueError",)}, ["never_on", "'ValueError'"]),
    ],
)
def test_a_bad_policy_is_refused_by_name_and_value(
    options: dict[str, Any], names: list[str]
) -> None:
    with pytest.raises(InvalidArguments) as refusal:
        Retry(**options)
    for name in names:
        assert name in str(refusal.value)
