"""The scripts, each from its .lua file, behind what they all share."""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).with_name("scripts")


class Script(NamedTuple):
    """A script and the name by which the server knows it."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script of this name."""
    parts = (_FOLDER / f"{part}.lua" for part in ("shared", name))
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
