"""Access: a line of JSON for each request, to the logger `mainspring.access`."""

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

from mainspring.keys import WRITTEN
from mainspring.server.permissions.callers import CALLER

log = logging.getLogger("mainspring.access")


def wanted() -> bool:
    """Whether anybody listens."""
    return log.isEnabledFor(logging.INFO)


def tell(scope: Scope, status: int | None, took: float) -> None:
    """Log a request that took so many seconds; without a status nobody was there to be answered."""
    client, caller = scope.get("client"), scope.get(CALLER)
    log.info(
        line(
            time=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
            method=scope.get("method", "WEBSOCKET"),
            path=scope["path"],
            status=status,
            milliseconds=round(1000 * took, 3),
            address=client[0] if client else None,
            key=caller.key or None if caller else None,
        )
    )


def line(**told: Any) -> str:
    """One line of printable ASCII, whatever was told, with no secret of a key in it."""
    return without_secrets(json.dumps(told, separators=(",", ":")).replace("\x7f", "\\u007f"))


def without_secrets(text: str) -> str:
    """The text with no more of keys than their ids."""
    return WRITTEN.sub(r"ms_\1_...", text)
