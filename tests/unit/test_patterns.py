"""Which topics a pattern stands for, compared with a model that tries everything."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.errors import InvalidArguments
from mainspring.patterns import Audience, pattern, patterns, topic


def matches(wanted: str, name: str) -> bool:
    audience: Audience[int] = Audience()
    audience.add(wanted, 1)
    return audience.of(name) == {1}


def model(wanted: list[str], name: list[str]) -> bool:
    """The same, level by level, and within a level character by character."""
    if not wanted:
        return not name
    if wanted[0] == "#":
        return True
    return bool(name) and fits(wanted[0], name[0]) and model(wanted[1:], name[1:])


def fits(wanted: str, level: str) -> bool:
    if not wanted:
        return not level
    if wanted[0] == "*":
        return fits(wanted[1:], level) or (bool(level) and fits(wanted, level[1:]))
    return bool(level) and wanted[0] == level[0] and fits(wanted[1:], level[1:])


@pytest.mark.parametrize(
    ("wanted", "yes", "no"),
    [
        ("orders", ["orders"], ["orders.new", "order", "Orders"]),
        ("orders.*", ["orders.new", "orders.é"], ["orders", "orders.new.eu", "other.new"]),
        ("orders.#", ["orders", "orders.new", "orders.new.eu"], ["order", "other.orders"]),
        ("#", ["a", "a.b.c"], []),
        ("*", ["a", "?"], ["a.b"]),
        ("*.new", ["orders.new"], ["new", "a.b.new"]),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c"]),
        ("a.*.#", ["a.b", "a.b.c.d"], ["a", "b.a"]),
        ("log-*.error", ["log-1.error", "log-.error"], ["log.error", "log-1.warning"]),
        ("a*b*c", ["abc", "axbyc", "abbc"], ["ab", "acb", "abcd", "bc"]),
        ("**", ["a"], ["a.b"]),
        ("a.?[x]+", ["a.?[x]+"], ["a.bx"]),
    ],
)
def test_what_a_pattern_stands_for(wanted: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not matches(wanted, name)] == []
    assert [name for name in no if matches(wanted, name)] == []


levels = st.text("ab-", min_size=1, max_size=4)
topics = st.lists(levels, min_size=1, max_size=4).map(".".join)
wild = st.lists(st.text("ab*", min_size=1, max_size=4), min_size=1, max_size=4)
wanted = st.tuples(wild, st.booleans()).map(
    lambda each: ".".join([*each[0], "#"] if each[1] else each[0])
)


@given(wanted=wanted, name=topics)
def test_a_pattern_matches_what_the_model_says(wanted: str, name: str) -> None:
    assert matches(pattern(wanted), topic(name)) == model(wanted.split("."), name.split("."))


someone = st.tuples(st.integers(0, 3), wanted | topics | st.just("#"))


@given(all_wanted=st.lists(someone), name=topics)
def test_an_audience_is_all_whose_pattern_matches_and_nobody_who_left(
    all_wanted: list[tuple[int, str]], name: str
) -> None:
    audience: Audience[int] = Audience()
    for who, each in all_wanted:
        audience.add(each, who)
    gone = all_wanted[::2]
    for who, each in gone:
        audience.discard(each, who)
    left = {pair for pair in all_wanted if pair not in gone}
    expected = {who for who, each in left if model(each.split("."), name.split("."))}
    assert audience.of(name) == expected
    for who, each in all_wanted:
        audience.discard(each, who)
    assert not audience, "nothing is kept of those who left"


def test_exact_names_are_found_without_trying_all_of_them() -> None:
    audience: Audience[int] = Audience()
    for n in range(10_000):
        audience.add(f"users.{n}.created", n)
    seen: list[object] = []

    class Level(str):
        def __eq__(self, other: object) -> bool:
            seen.append(other)
            return super().__eq__(other)

        __hash__ = str.__hash__

    class Name(str):
        def split(self, *args: object) -> list[str]:  # type: ignore[override]
            return [Level(each) for each in super().split(".")]

    assert audience.of(Name("users.77.created")) == {77}
    assert len(seen) < 20


def test_many_stars_take_no_longer_than_the_text_is() -> None:
    assert not matches("*a" * 60 + "b", "a" * 250)


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "a\n", "x" * 256, 5, None])
def test_what_cannot_be_a_topic_or_a_pattern_is_refused(name: object) -> None:
    for read in (topic, pattern):
        with pytest.raises(InvalidArguments, match="expected"):
            read(name)


@pytest.mark.parametrize("name", ["*", "a.*", "#", "a#b", "a*"])
def test_a_topic_is_no_pattern(name: str) -> None:
    with pytest.raises(InvalidArguments, match="without"):
        topic(name)


@pytest.mark.parametrize("name", ["#.a", "a#", "a.b#", "##", "a.#.b", "#*"])
def test_a_rest_that_is_not_last_is_refused(name: str) -> None:
    with pytest.raises(InvalidArguments, match=re.escape("# only as the whole last level")):
        pattern(name)


def test_too_many_levels_are_refused() -> None:
    with pytest.raises(InvalidArguments, match="at most 32 levels"):
        topic(".".join("a" * 33))


def test_patterns_are_taken_once_each_and_there_is_one_at_least() -> None:
    assert patterns(["b", "a", "b"]) == ("b", "a")
    with pytest.raises(InvalidArguments, match="at least one"):
        patterns([])
