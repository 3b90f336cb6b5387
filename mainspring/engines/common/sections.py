"""Statements by name, from the .sql file that stands beside a module."""

import re
from pathlib import Path

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def sections(module: str) -> dict[str, str]:
    """`{name: statement}` of the .sql file beside the module whose `__file__` this is."""
    text = Path(module).with_suffix(".sql").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    return {
        name: body.strip().removesuffix(";")
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
