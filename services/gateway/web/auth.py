"""Who is calling, over HTTP: the key from a header or the query, the row of the route in the table of rights."""

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from services.gateway.domain.callers import Caller
from services.gateway.domain.faults import InvalidFields
from services.gateway.domain.rights import REST
from services.gateway.handlers import Gateway, Knock

TENANT = "provost.tenant"
"""Where a request that was let in says of which tenant it is, for metrics."""


async def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Doors = Annotated[Gateway, Depends(gateway_of)]


async def admitted(request: Request, gateway: Doors) -> Caller:
    """The caller, once admitted. Stands before every route; a route without a row in the table is a bug, not a hole.

    Raises:
        Fault: as `Gateway.admit`.
    """
    row = f"{request.method} {request.scope['route'].path}"
    right = REST[row]
    caller = await gateway.admit(knock_of(request, row), right)
    request.scope[TENANT] = gateway.tenant_shown(caller)
    return caller


Who = Annotated[Caller, Depends(admitted)]


def knock_of(asking: HTTPConnection, row: str, key: str = "") -> Knock:
    """Who asks for what is in `row`, with which key: `key`, unless a header or the query has one."""
    key = asking.headers.get("x-api-key") or _bearer(asking) or asking.query_params.get("api_key", "") or key
    peer = asking.client.host if asking.client else ""
    return Knock(key, row, peer, from_elsewhere=_from_elsewhere(asking))


async def spelled(request: Request) -> None:
    """Stands before every route that has parameters in its query: a misspelt filter would be one that lets all through.

    Raises:
        InvalidFields: one that the route does not have.
    """
    known = {each.alias for each in request.scope["route"].dependant.query_params}
    unknown = request.query_params.keys() - known - {"api_key"}
    if known and unknown:
        text = f"is no parameter of this; there are {', '.join(sorted(known))}"
        raise InvalidFields("FIELD_INVALID", tuple((name[:100], text) for name in sorted(unknown)))


def _bearer(request: HTTPConnection) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def parts_of(url: str) -> SplitResult:
    """What `url` is made of; what is no URL is made of nothing."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _from_elsewhere(request: HTTPConnection) -> bool:
    # Browsers send these by themselves and let no page change them; programs send neither.
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    host = request.headers.get("host", "")
    if site not in (None, "none", "same-origin") or (origin is not None and parts_of(origin).netloc != host):
        return True
    # A page of another site can be of the same origin when its name has been made to point here (DNS rebinding);
    # browsers send neither with what it only reads, over http and from a name.
    return not _is_no_name(parts_of(f"//{host}").hostname or "")


def _is_no_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
