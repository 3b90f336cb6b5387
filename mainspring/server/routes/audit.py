"""The route of the audit: `/audit`."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.audit import Deed, begin, place_of
from mainspring.durations import moment
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import admin, path
from mainspring.server.forms import asked
from mainspring.server.forms.answers import MILLISECOND, Shown, answer
from mainspring.server.permissions.callers import caller_of
from mainspring.server.permissions.narrow import everything


class Page(Struct, frozen=True, forbid_unknown_fields=True):
    """What a page tells: what was done for so long (seconds, or text such as "7d"), behind `after`
    where it is a further page."""

    since: str = "1d"
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[str, Meta(pattern="^[0-9a-f]{0,32}$")] = ""


class DeedShown(Shown, frozen=True, kw_only=True):
    """Something that was done: by which key, from where, what, and what it changed, where it says
    so."""

    at: int
    name: str
    key: str | None
    address: str | None
    what: str
    status: int
    before: Any
    after: Any


class Deeds(Shown, frozen=True, kw_only=True):
    """What was done, the oldest first; `next` is `after` of the next page, if there may be one."""

    success: bool = True
    deeds: Sequence[DeedShown]
    next: str | None


PAGE = asked.Query(Page)


class AuditRoutes:
    """What can be asked of the audit, by those whose key is for everything."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._audit = service.app.audit

    def routes(self) -> list[Route]:
        """Each path and method."""
        return [path("/audit", GET=admin(self.get, query=Page, answers={200: Deeds}))]

    async def get(self, request: Request) -> Response:
        """What was changed that takes a key with admin, the oldest first."""
        everything(caller_of(request))
        page = PAGE.read(request)
        after = max(place_of(begin(page.since, "since")), page.after)
        found = await self._service.ask(self._audit.page, after, page.limit)
        next = found[-1][0] if len(found) == page.limit else None
        return answer(Deeds(deeds=[_shown(deed) for _, deed in found], next=next))


def _shown(deed: Deed) -> DeedShown:
    return DeedShown(
        at=moment(deed.at) // MILLISECOND,
        name=deed.name,
        key=deed.key,
        address=deed.address,
        what=deed.what,
        status=deed.status,
        before=deed.before,
        after=deed.after,
    )
