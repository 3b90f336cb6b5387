"""The scripts, each from its .lua file, behind what they share."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).with_name("scripts")

_BETWEEN = {
    **dict.fromkeys(("insert", "restore"), ("storing",)),
    **dict.fromkeys(("replay", "exchange"), ("returning",)),
    **dict.fromkeys(("kv_get", "kv_set", "kv_add", "kv_touch", "kv_delete", "kv_scan"), ("cells",)),
    **dict.fromkeys(("post", "posts_read"), ("posts",)),
    "upkeep": ("returning", "cells", "posts"),
}
"""What some scripts share besides."""

_LITERAL = r"(?:-?\d+|'[^'\n]*')"
_CONSTANTS = re.compile(
    rf"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = ({_LITERAL}(?:, {_LITERAL})*)$", re.MULTILINE
)
_TOKEN = re.compile(r"'[^'\n]*'|--[^\n]*|\b[A-Z][A-Z_]*\b")


class Script(NamedTuple):
    """A script and the name by which the server knows it."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script of this name."""
    parts = (_FOLDER / f"{part}.lua" for part in ("shared", *_BETWEEN.get(name, ()), name))
    text = _inlined("\n".join(part.read_text(encoding="utf-8") for part in parts))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _inlined(text: str) -> str:
    """The script with constants written where they are used, and without comments.

    A script makes its functions anew at every call, and that takes the longer the more locals they
    refer to: constants would be half of them, and cost a third of a short call.
    """
    values: dict[str, str] = {}

    def note(line: re.Match[str]) -> str:
        literals = re.findall(_LITERAL, line[2])
        values.update(zip(line[1].split(", "), literals, strict=True))
        return ""

    text = re.sub(r" +--[^'\n]*$", "", text, flags=re.MULTILINE)
    text = _CONSTANTS.sub(note, text)
    return _TOKEN.sub(
        lambda token: "" if token[0].startswith("--") else values.get(token[0], token[0]), text
    )
