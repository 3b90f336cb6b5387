"""The routes of keys: `/keys`."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.durations import moment
from mainspring.keys import Key, NewKey, Permission
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import admin, path
from mainspring.server.entry.recorder import changed
from mainspring.server.forms import asked
from mainspring.server.forms.answers import MILLISECOND, Shown, answer
from mainspring.server.forms.wishes import Span, span
from mainspring.server.permissions.callers import caller_of
from mainspring.server.permissions.narrow import everything


class KeyWish(Struct, frozen=True, forbid_unknown_fields=True):
    """A key that is asked for, as in `Keys.create`."""

    name: str
    permissions: tuple[str, ...]
    only: tuple[str, ...] = ()
    expires: Span | UnsetType = UNSET


class KeyShown(Shown, frozen=True, kw_only=True):
    """A key, without what its holder has to show."""

    id: str
    name: str
    permissions: Sequence[Permission]
    only: Sequence[str]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    used_at: int | None


class KeyTold(Shown, frozen=True, kw_only=True):
    """One key; `secret`, once, is what its holder has to show."""

    success: bool = True
    key: KeyShown
    secret: str | UnsetType = UNSET


class KeysTold(Shown, frozen=True, kw_only=True):
    """All keys."""

    success: bool = True
    keys: Sequence[KeyShown]


WISH = Decoder(KeyWish)


class KeyRoutes:
    """What can be asked of keys, by those whose own is for everything: who may use some names only
    would give itself all others with a new one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._keys = service.app.keys

    def routes(self) -> list[Route]:
        """Each path and method."""
        return [
            path(
                "/keys",
                GET=admin(self.all, answers={200: KeysTold}),
                POST=admin(self.create, body=KeyWish, answers={201: KeyTold}),
            ),
            path("/keys/{id}", DELETE=admin(self.revoke, answers={200: KeyTold})),
        ]

    async def all(self, request: Request) -> Response:
        """All keys, the newest first, those that hold no more among them."""
        everything(caller_of(request))
        keys = await self._service.ask(self._keys.list)
        return answer(KeysTold(keys=[shown(key) for key in keys]))

    async def create(self, request: Request) -> Response:
        """Make a key. What its holder has to show is told in this answer, and never again."""
        everything(caller_of(request))
        wish = await asked.body(request, WISH)
        expires = None if wish.expires is UNSET else span(wish.expires)
        made: NewKey = await self._service.ask(
            self._keys.create, wish.name, wish.permissions, only=wish.only, expires=expires
        )
        changed(request, after=shown(made))
        place = {"Location": f"{request.scope.get('root_path', '')}/keys/{made.id}"}
        return answer(KeyTold(key=shown(made), secret=made.key), 201, place)

    async def revoke(self, request: Request) -> Response:
        """Let nobody in by this key any more."""
        everything(caller_of(request))
        gone = await self._service.ask(self._keys.revoke, request.path_params["id"])
        changed(request, after=shown(gone))
        return answer(KeyTold(key=shown(gone)))


def shown(key: Key) -> KeyShown:
    """A key as it is shown."""
    return KeyShown(
        id=key.id,
        name=key.name,
        permissions=key.permissions,
        only=key.only,
        created_at=moment(key.created) // MILLISECOND,
        expires_at=_ms(key.expires),
        revoked_at=_ms(key.revoked),
        used_at=_ms(key.used),
    )


def _ms(when: datetime | None) -> int | None:
    return None if when is None else moment(when) // MILLISECOND
