"""Damage: jobs as only other software can have left them in the file, recognised before anybody
works with them."""

from mainspring.job import Claimed, decode_policy


def damage(job: Claimed) -> str | None:
    """What is wrong with this job as it came from the file, in words; None if nothing is."""
    if not isinstance(job.id, bytes) or len(job.id) != 16:
        return f"damaged: its id is {_told(job.id)}, expected 16 bytes"
    if not isinstance(job.payload, bytes):
        return f"damaged: its payload is {_told(job.payload)}, expected bytes"
    if not isinstance(job.headers, bytes | None):
        return f"damaged: its headers are {_told(job.headers)}, expected bytes"
    for name in ("created", "due", "attempt", "claims", "losses"):
        if not isinstance(value := getattr(job, name), int):
            return f"damaged: {name} is {_told(value)}, expected an integer"
    try:
        decode_policy(job.policy)
    except (ValueError, TypeError) as error:
        return f"damaged: its policy cannot be read: {error}"
    return None


def shown(id: object) -> bytes:
    """An id of sixteen bytes for a job, whatever the file says."""
    if isinstance(id, bytes) and len(id) == 16:
        return id
    told = id if isinstance(id, bytes) else str(id).encode()
    return told[:16].ljust(16, b"\0")


def _told(value: object) -> str:
    kind = {str: "text", bytes: "bytes", float: "a fraction", type(None): "missing"}
    return kind.get(type(value), type(value).__name__)
