"""Problems: every way a request can fail, as a problem document (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from uuid import UUID

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mainspring.errors import (
    IdConflict,
    InvalidArguments,
    InvalidState,
    LeaseLost,
    MainspringError,
    NotInteger,
    PayloadTooLarge,
    QueueFull,
    StoreFull,
    StoreUnavailable,
    UniqueTaken,
    UnknownAccessKey,
    UnknownDependency,
    UnknownJob,
    UnknownTask,
    UnknownWorker,
    Unsupported,
    VersionConflict,
)
from mainspring.trouble import URN, name_of

MEDIA_TYPE = "application/problem+json"
SOON = {"Retry-After": "1"}

log = logging.getLogger("mainspring.server")

_STATUSES: list[tuple[type[MainspringError], int]] = [
    (PayloadTooLarge, 413),
    (InvalidArguments, 422),
    (UnknownDependency, 422),
    (UnknownJob, 404),
    (UnknownTask, 404),
    (UnknownWorker, 404),
    (UnknownAccessKey, 404),
    (InvalidState, 409),
    (LeaseLost, 409),
    (QueueFull, 429),
    (IdConflict, 409),
    (UniqueTaken, 409),
    (VersionConflict, 409),
    (NotInteger, 409),
    (Unsupported, 501),
    (StoreFull, 507),
    (StoreUnavailable, 503),
]


class ProblemShown(Struct, frozen=True, kw_only=True):
    """Why a request was not done. `type` names the kind for programs, `detail` tells people what
    was expected and what came. There may be more members."""

    type: str
    title: str
    status: int
    detail: str
    success: bool
    error: str


class Problem(Exception):
    """A request that cannot be answered as it was meant: `kind` names it for programs, `detail`
    says to people what was expected and what came; `more` are members of its own."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """The document. `success` and `error` are the same in the words of other answers."""
        document = ProblemShown(
            type=URN + self.kind,
            title=self.kind.replace("-", " ").capitalize(),
            status=self.status,
            detail=self.detail,
            success=False,
            error=self.detail,
        )
        body = msgspec.json.encode(msgspec.structs.asdict(document) | self.more)
        return Response(body + b"\n", self.status, self.headers, MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """What to tell of an error. One that nobody expected is logged, and its words are kept back."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _of_routing(error)
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            headers = SOON if isinstance(error, StoreUnavailable | QueueFull) else None
            return Problem(status, name_of(type(error)), str(error), headers, **_more(error))
    log.error("a request failed", exc_info=error)
    if isinstance(error, MainspringError):  # a store that is not as it must be: words for operators
        return Problem(500, name_of(type(error)), str(error))
    return Problem(500, "internal-error", "the server made a mistake, which it has logged")


def _of_routing(error: HTTPException) -> Problem:
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    words = {
        404: "there is nothing at this path; GET /docs tells what there is",
        405: "this path does not take that method",
    }
    return Problem(
        error.status_code, kind, words.get(error.status_code, error.detail), error.headers
    )


def _more(error: Exception) -> dict[str, object]:
    if isinstance(error, UniqueTaken) and len(error.holder) == 16:
        return {"holder": str(UUID(bytes=error.holder))}
    if isinstance(error, QueueFull):
        return {"queue": error.queue}
    if isinstance(error, VersionConflict):
        return {"key": error.key, "expected": error.expected, "found": error.found}
    return {}
