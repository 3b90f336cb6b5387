"""The report of a tree, as Markdown. Pure: what was found goes in, text comes out."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from mainspring.demo.scan import Facts

MOST_LISTED = 10


class File(Struct, kw_only=True):
    """All that the jobs found out about one file; None where a job has not ended well."""

    path: str
    facts: Facts | None = None
    error: str = ""
    size: int | None = None
    saved: int | None = None
    digest: str | None = None

    @property
    def package(self) -> str:
        """The first folder of the path."""
        return self.path.split("/")[0] if "/" in self.path else "."


def render(root: str, files: Sequence[File]) -> str:
    """The whole report. Every file has exactly one row under "All files"."""
    files = sorted(files, key=attrgetter("path"))
    parsed = [file for file in files if file.facts]
    sections = [
        f"# {_escaped(root)}",
        f"{_sum_up(files)}. {len(parsed):,} of {len(files):,} files could be parsed.",
        "## Packages",
        _table(("package", *_COUNTED), _packages(files)),
        "## Longest functions",
        _table(("function", "lines", "file"), _longest(parsed)),
        "## The same content",
        _list(_identical(files)),
        "## Not parsed",
        _list(f"`{_escaped(f.path)}`: {_escaped(f.error)}" for f in files if f.error),
        "## All files",
        _table(("file", "lines", "functions", "classes", "bytes", "saved", "sha256"), _rows(files)),
    ]
    return "\n\n".join(sections) + "\n"


_COUNTED = ("files", "lines", "functions", "classes", "bytes", "saved")


def _totals(files: Sequence[File]) -> tuple[int, ...]:
    known = [file.facts for file in files if file.facts]
    return (
        len(files),
        sum(facts.lines for facts in known),
        sum(facts.functions for facts in known),
        sum(facts.classes for facts in known),
        sum(file.size or 0 for file in files),
        sum(file.saved or 0 for file in files),
    )


def _sum_up(files: Sequence[File]) -> str:
    count, lines, functions, classes, size, saved = _totals(files)
    share = saved / size if size else 0
    return (
        f"{count:,} files, {lines:,} lines, {functions:,} functions, {classes:,} classes,"
        f" {size:,} bytes of which compression saves {saved:,} ({share:.0%})"
    )


def _packages(files: Sequence[File]) -> Iterator[tuple[object, ...]]:
    by_package = sorted(files, key=attrgetter("package", "path"))
    for package, members in groupby(by_package, key=attrgetter("package")):
        yield package, *_totals(list(members))


def _longest(files: Sequence[File]) -> Iterator[tuple[object, ...]]:
    found = [
        (lines, file.path, name)
        for file in files
        if file.facts and file.facts.longest
        for name, lines in [file.facts.longest]
    ]
    for lines, path, name in sorted(found, key=lambda each: (-each[0], each[1]))[:MOST_LISTED]:
        yield name, lines, path


def _identical(files: Sequence[File]) -> Iterator[str]:
    filled = sorted((file for file in files if file.digest and file.size), key=_content)
    groups = [list(group) for _, group in groupby(filled, key=_content)]
    twins = sorted((group for group in groups if len(group) > 1), key=len, reverse=True)
    for group in twins[:MOST_LISTED]:
        yield f"{len(group)} × {group[0].size:,} bytes: " + ", ".join(
            f"`{_escaped(file.path)}`" for file in group
        )


def _content(file: File) -> str:
    return file.digest or ""


def _rows(files: Sequence[File]) -> Iterator[tuple[object, ...]]:
    for file in files:
        facts = file.facts
        counts = (facts.lines, facts.functions, facts.classes) if facts else (None, None, None)
        yield file.path, *counts, file.size, file.saved, (file.digest or "")[:12]


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:,}" if isinstance(value, int) else _escaped(str(value))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())
