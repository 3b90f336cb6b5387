"""Commands: `POST /api/v1/command`, where all of Synap's commands are asked for by their names."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mainspring.keys import Permission
from mainspring.server.backend.service import Service
from mainspring.server.entry.recorder import changed, record
from mainspring.server.forms import asked
from mainspring.server.forms.answers import answer
from mainspring.server.permissions.callers import caller_of
from mainspring.server.synap.asking import Asked, Command, Table
from mainspring.server.synap.refusals import Refused, refusal_of


class Envelope(Struct, frozen=True):
    """A command as it comes: all of it must be there."""

    command: str
    request_id: str
    payload: Any


class Told(Struct, frozen=True, kw_only=True):
    """What a command is answered with, always with status 200."""

    success: bool
    request_id: str
    payload: Any = None
    error: str | None = None


class Fault(Struct, frozen=True):
    """What a request is answered with that is not what it must be."""

    error: str
    code: int


ENVELOPE = Decoder(Envelope)

FORBIDDEN = 403


class Commander:
    """Carries out commands, whichever way they come."""

    def __init__(self, service: Service, table: Table) -> None:
        self._service = service
        self._table = table

    def __getitem__(self, name: str) -> Command:
        return self._table[name]

    async def enveloped(self, request: Request) -> Response:
        """Carry out a command. Whether it went well is told in the answer, whose status is 200 as
        soon as there is a command to be read."""
        try:
            said = await asked.body(request, ENVELOPE)
        except ClientDisconnect:
            raise
        except Exception as error:
            return fault(error)
        status, id = 200, said.request_id
        payload = said.payload if isinstance(said.payload, dict) else {}
        try:
            result = await self.run(said.command, payload, request, id)
            told = Told(success=True, request_id=id, payload=result)
        except ClientDisconnect:
            raise
        except Exception as error:
            refused = refusal_of(error)
            status, told = refused.status, Told(success=False, request_id=id, error=refused.words)
        if self._is_ruling(said.command) and status != FORBIDDEN:
            changed(request, after={"command": said.command, "payload": payload})
            await record(request, status)
        return answer(told)

    def _is_ruling(self, name: str) -> bool:
        """Whether it is a command for those who may everything."""
        return name in self._table and self._table[name].permission is Permission.ADMIN

    async def run(
        self, name: str, payload: dict[str, Any], request: Request, request_id: str
    ) -> Any:
        """What the command answers; `Refused`."""
        command = self._table.get(name)
        if command is None:
            raise Refused(400, f"Unknown command: {name}")
        caller = caller_of(request)
        caller.require(command.permission)
        what = Asked(payload, caller, request_id, request)
        if command.run is not None:
            return await self._service.ask(command.run, what)
        assert command.wait is not None
        return await command.wait(what)


def fault(error: Exception) -> Response:
    """The answer to a request that failed."""
    refused = refusal_of(error)
    return answer(Fault(refused.words, refused.status), refused.status)
