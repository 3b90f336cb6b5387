"""What users may write for durations and moments, and what they are told when they may not."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.durations import DAY, HOUR, LATEST, MINUTE, SECOND, instant, microseconds, moment
from mainspring.errors import InvalidArguments

moments = st.integers(0, LATEST)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, 0),
        (1.5, 1_500_000),
        (0.000001, 1),
        (timedelta(minutes=5, microseconds=1), 5 * MINUTE + 1),
        ("250ms", 250_000),
        ("90", 90 * SECOND),
        ("0.5", 500_000),
        ("5m", 5 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("14d", 14 * DAY),
        ("2w1d", 15 * DAY),
        ("7us", 7),
    ],
)
def test_a_duration_means_what_it_says(written: Any, meant: int) -> None:
    assert microseconds(written) == meant


@given(moments)
def test_a_timedelta_keeps_every_microsecond(micros: int) -> None:
    assert microseconds(timedelta(microseconds=micros)) == micros


@given(st.integers(0, 60_000 * DAY // SECOND), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    total = hours % 100_000 * HOUR + minutes * MINUTE + seconds * SECOND
    assert microseconds(f"{hours % 100_000}h{minutes}m{seconds}s") == total


@pytest.mark.parametrize(
    "written",
    [
        -1,
        -0.5,
        float("nan"),
        float("inf"),
        1e308,
        -1e308,
        10**400,
        True,
        None,
        [5],
        timedelta(seconds=-1),
        timedelta.max,
        "",
        "soon",
        "5 m",
        "-5m",
        "m5",
        "1h30",
        "30 ",
        "5m!",
        "5y",
        "1e3",
        b"5m",
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused_with_what_came(written: Any) -> None:
    with pytest.raises(InvalidArguments, match="patience") as refusal:
        microseconds(written, "patience")
    assert repr(written) in str(refusal.value)


@given(st.one_of(st.text(max_size=20), st.floats(), st.integers()))
def test_any_text_or_number_is_a_duration_in_range_or_refused(written: Any) -> None:
    try:
        value = microseconds(written)
    except InvalidArguments:
        return
    assert 0 <= value <= LATEST


@given(moments)
def test_a_moment_survives_the_round_trip_to_the_microsecond(micros: int) -> None:
    assert moment(instant(micros)) == micros
    assert instant(micros).tzinfo is UTC


def test_a_moment_is_the_same_in_every_time_zone() -> None:
    here = datetime(2030, 6, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert moment(here) == moment(here.astimezone(UTC))


def test_the_latest_moment_is_the_end_of_2149() -> None:
    assert instant(LATEST) == datetime(2150, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (datetime(2030, 1, 1), "naive 2030-01-01"),
        (datetime(1969, 12, 31, tzinfo=UTC), "1969-12-31"),
        (datetime(2150, 1, 2, tzinfo=UTC), "2150-01-02"),
        ("2030-01-01", "'2030-01-01'"),
        (1_900_000_000, "1900000000"),
    ],
)
def test_what_is_no_moment_is_refused_with_what_came(when: Any, expected: str) -> None:
    with pytest.raises(InvalidArguments, match="run_at") as refusal:
        moment(when, "run_at")
    assert expected in str(refusal.value)
