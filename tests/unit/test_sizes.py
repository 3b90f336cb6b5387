"""Sizes as they may be written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring import InvalidArguments
from mainspring.sizes import TB, in_bytes


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (0, 0),
        (512, 512),
        ("512B", 512),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("512MB", 512_000_000),
        ("512 mb", 512_000_000),
        ("1.5GB", 1_500_000_000),
        ("64MiB", 67_108_864),
        ("1TB", TB),
    ],
)
def test_a_size_is_bytes_or_a_number_with_its_unit(written: int | str, count: int) -> None:
    assert in_bytes(written, "size", 0, TB) == count


@pytest.mark.parametrize(
    "wrong", ["", "512", "MB", "5 bytes", "1e3B", "-1MB", "1iB", "٣MB", "1,5GB"]
)
def test_what_is_no_size_is_told_what_one_looks_like(wrong: str) -> None:
    with pytest.raises(InvalidArguments, match='size: expected bytes, or text like "512MB"'):
        in_bytes(wrong, "size", 0, TB)


@given(st.text(alphabet="0123456789.BKMGTbkmgti ", max_size=400) | st.integers())
def test_whatever_is_written_is_a_size_within_bounds_or_an_error_of_ours(
    written: int | str,
) -> None:
    with contextlib.suppress(InvalidArguments):
        assert 16 <= in_bytes(written, "size", 16, TB) <= TB
