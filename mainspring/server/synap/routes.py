"""Routes: everything that is there for programs that speak Synap."""

from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive

from mainspring import __version__
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import anybody, holder, path
from mainspring.server.forms import asked
from mainspring.server.forms.answers import answer
from mainspring.server.forms.problems import SOON, Problem
from mainspring.server.routes.health import HealthRoutes
from mainspring.server.routes.kv import KeyValueRoutes
from mainspring.server.synap.commands import Commander, Envelope, Told, fault
from mainspring.server.synap.delivery import Delivery
from mainspring.server.synap.kv import KeyValueCommands
from mainspring.server.synap.pubsub import PubSubCommands
from mainspring.server.synap.queues import QueueCommands
from mainspring.server.synap.rest import BODY, WAYS, operation
from mainspring.server.synap.streams import StreamCommands
from mainspring.server.synap.transactions import Transactions


def _receiving(body: bytes) -> Receive:
    """The same body once more."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class SynapRoutes:
    """What can be asked in Synap's way."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._entries = KeyValueRoutes(service)
        self._pubsub, queues = PubSubCommands(service), QueueCommands(service)
        self._delivery = Delivery(service, queues)
        transactions = Transactions(service)
        nouns = (
            queues,
            KeyValueCommands(service, transactions),
            self._pubsub,
            StreamCommands(service),
            transactions,
        )
        self.table = {name: each for noun in nouns for name, each in noun.commands().items()}
        self._commander = Commander(service, self.table)

    def routes(self) -> list[BaseRoute]:
        """Each path and method."""
        places: dict[str, dict[str, Any]] = {}
        for way in WAYS:
            places.setdefault(way.place, {})[way.method] = operation(way, self._commander)
        enveloped = holder(self._commander.enveloped, body=Envelope, answers={200: Told})
        kept = places["/kv/set"]["POST"]
        self._keep = kept.endpoint
        places["/kv/set"]["POST"] = replace(kept, endpoint=self.keep)
        return [
            path("/api/v1/command", POST=enveloped),
            path("/health", GET=anybody(self.health)),
            *self._pubsub.sockets(),
            *self._delivery.routes(),
            *(path(place, **operations) for place, operations in places.items()),
        ]

    async def keep(self, request: Request) -> Response:
        """Keep a value in Synap's way, or `values` in ours: both have this path."""
        try:
            body = await asked.body(request, BODY)
        except Problem as error:
            return fault(error)
        again = Request(request.scope, _receiving(msgspec.json.encode(body)))
        return await (self._entries.set_many if "values" in body else self._keep)(again)

    async def health(self, request: Request) -> Response:
        """200 if the store answers, else 503. Those who consume are no workers here, so
        nobody asks for them."""
        reasons = await self._service.ask(HealthRoutes(self._service).unready)
        told = {
            "status": "unhealthy" if reasons else "healthy",
            "service": "synap",
            "version": __version__,
        }
        return answer(told, 503 if reasons else 200, SOON if reasons else None)
