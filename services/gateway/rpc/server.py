"""The gRPC server of the front: it checks keys itself, so it does not ask for the internal one."""

from chassis.config import ServiceSettings
from chassis.rpc import LARGE_MESSAGES
from chassis.rpc.server import Server
from provost.gateway.v1.gateway_pb2_grpc import add_GatewayServiceServicer_to_server
from services.gateway.handlers import Gateway
from services.gateway.handlers.places import LargePlaces
from services.gateway.ports import PassThrough
from services.gateway.rpc.front import OFFERED, Front
from services.gateway.rpc.own import GatewayServicer
from services.gateway.rpc.reading import Reading

# A run may take its time; a caller that sets a deadline of its own is held to that.
UNARY_SECONDS = 300.0


def front_server(
    settings: ServiceSettings, gateway: Gateway, behind: PassThrough, large: LargePlaces | None = None
) -> Server:
    """A server that offers the gateway's own service, and everything `behind`; REST takes of the same `large`."""
    reading = Reading(large or LargePlaces())
    server = Server(
        settings,
        "gateway",
        max_message_bytes=LARGE_MESSAGES,
        check_internal_key=False,
        unary_seconds=UNARY_SECONDS,
        strangers=reading,
    )
    server.add(add_GatewayServiceServicer_to_server, GatewayServicer(gateway))
    server.add_generic(
        Front(gateway, behind, server.guard, reading), [service.full_name for service in OFFERED]
    )
    return server
