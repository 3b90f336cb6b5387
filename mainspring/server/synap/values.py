"""Values: bytes, as Synap has them, and what is kept of them for all others.

Text that is JSON is kept as it is, so that programs which do not speak Synap read the value it
means. Other text is kept as a JSON string, and so is text that is a JSON string itself, with its
quotes: each stays apart from the other, and every byte comes back. What is no text is kept raw.
"""

from typing import Any

import msgspec

from mainspring.codec import RAW
from mainspring.server.forms.asked import refusal

_SPACE = b" \t\r\n"


def kept(data: bytes) -> bytes:
    """What is kept of these bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return RAW + data
    return data if _is_json_value(data) else msgspec.json.encode(text)


def shown(value: bytes) -> bytes:
    """The bytes of which that is kept; of another's value the JSON text, and of its texts what they
    say."""
    if value[:1] == RAW:
        return value[1:]
    if value.lstrip(_SPACE)[:1] == b'"':
        text: str = msgspec.json.decode(value)
        return text.encode()
    return value


def written(value: Any) -> bytes:
    """The bytes that Synap makes of a value in a request: of texts what they say, else JSON."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def readable(data: bytes) -> str:
    """These bytes as Synap shows them where it promises text."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"<binary data: {len(data)} bytes>"


def _is_json_value(data: bytes) -> bool:
    """Whether it is JSON, and no string, that all can read."""
    if refusal(data):
        return False
    try:
        return not isinstance(msgspec.json.decode(data), str)
    except (msgspec.DecodeError, RecursionError):
        return False
