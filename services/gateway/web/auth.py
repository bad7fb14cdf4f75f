"""Who is calling, over HTTP: the key from its header or query, the row of the route in the table of rights."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from services.gateway.domain.callers import Caller
from services.gateway.domain.faults import OriginRefused
from services.gateway.domain.rights import REST
from services.gateway.handlers import Gateway, Knock


async def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Doors = Annotated[Gateway, Depends(gateway_of)]


async def admitted(request: Request, gateway: Doors) -> Caller:
    """The caller, once admitted. Stands before every route; a route without a row in the table is a bug, not a hole.

    Raises:
        Fault: as `Gateway.admit`, or OriginRefused for another site's page while no key is configured.
    """
    row = f"{request.method} {request.scope['route'].path}"
    right = REST[row]
    if gateway.keyring.open and right.roles and _from_elsewhere(request):
        raise OriginRefused
    key = request.headers.get("x-api-key") or request.query_params.get("api_key", "")
    peer = request.client.host if request.client else ""
    return await gateway.admit(Knock(key, row, peer), right)


Who = Annotated[Caller, Depends(admitted)]


def _from_elsewhere(request: Request) -> bool:
    # Browsers send these by themselves and let no page change them.
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
