"""Health of a process that cannot serve yet: NOT_SERVING, and why, until what it waits for is there."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from chassis.config import ServiceSettings
from chassis.tls import certificates
from chassis.tls.rpc import server_credentials

LAST_CALLS_SECONDS = 0.5
WHY = "provost-why"
"""Trailing metadata of a health check's answer: what is wrong, in words."""


class Health(health.aio.HealthServicer):
    """The standard health service, which says besides what is wrong, as long as `why` says anything."""

    def __init__(self, why: Callable[[], str]) -> None:
        super().__init__()
        self._why = why

    async def Check(self, request: Any, context: Any) -> Any:
        if why := self._why():
            context.set_trailing_metadata(((WHY, why.encode("ascii", "replace").decode()),))
        return await super().Check(request, context)


class _NotYet(grpc.GenericRpcHandler):
    """Every other call: refused, as by a server that is not there yet; whoever asked may try again."""

    def __init__(self, why: Callable[[], str]) -> None:
        self._handler: Any = grpc.stream_stream_rpc_method_handler(self._refuse)
        self._why = why

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handler

    async def _refuse(self, requests: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, self._why() or "it starts")


class Waiting:
    """Listens where `service` will listen, and answers nothing but health; without a service it does nothing."""

    def __init__(self, settings: ServiceSettings, service: str) -> None:
        self.why = ""
        self._health = Health(lambda: self.why)
        self._address = f"{settings.listen_host}:{settings.port(service)}" if service else ""
        self._of_gateway = service == "gateway"
        of = certificates.of_gateway(settings) if self._of_gateway else certificates.of(settings, service)
        self._certificates = of if service else None
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        if self._address:
            self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            self._server.add_generic_rpc_handlers((_NotYet(lambda: self.why),))
            await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
            if self._certificates is None:
                self._server.add_insecure_port(self._address)
            else:
                self._server.add_secure_port(
                    self._address, server_credentials(self._certificates, clients=not self._of_gateway)
                )
            await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self._server.stop(LAST_CALLS_SECONDS)
