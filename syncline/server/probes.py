"""Is it alive, can it work: for load balancers and people."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from syncline.errors import SynclineError
from syncline.model.actor import Actor
from syncline.protocol.messages import OLDEST_VERSION, PROTOCOL_VERSION
from syncline.protocol.negotiation import Form
from syncline.server.centre import Centre
from syncline.server.lanes import Lanes
from syncline.server.problems import BASE_HEADERS, refused, unexpected


class Probes:
    """`/health`: the process answers. `/ready`: the database is reachable and prepared."""

    def __init__(self, hub: Centre, lanes: Lanes) -> None:
        self._hub = hub
        self._lanes = lanes

    async def health(self, _: Request, __: Actor) -> Response:
        return _said(status="ok", protocol=PROTOCOL_VERSION, oldest_protocol=OLDEST_VERSION)

    async def ready(self, _: Request, __: Actor) -> Response:
        try:
            await self._lanes.probe(self._hub.ready)
        except SynclineError as error:
            return refused(error, "GET /ready")
        except Exception as error:
            return unexpected(error, "GET /ready")
        return _said(status="ready")


def _said(**fields: str | int) -> Response:
    return Response(msgspec.json.encode(fields), headers=BASE_HEADERS, media_type=Form.JSON.value)
