"""How a process, or whoever looks after it on the same machine, asks it whether it is well."""

from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from chassis.config import ServiceSettings
from chassis.tls import certificates
from chassis.tls.rpc import channel_credentials, first_name

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_retries", 0),
]


class Itself:
    """`service` on this machine, asked in its own name: with its own certificate, if it has one."""

    def __init__(self, settings: ServiceSettings, service: str, host: str = "127.0.0.1") -> None:
        self._at = f"{host}:{settings.port(service)}"
        self._service = service
        self._certificates = (
            certificates.of_gateway(settings) if service == "gateway" else certificates.of(settings, service)
        )
        self._channel: grpc.aio.Channel | None = None
        self._generation = 0

    async def serving(self, timeout_seconds: float) -> bool:
        """Whether it says SERVING (grpc.health.v1)."""
        check = (await self._connected()).unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def _connected(self) -> grpc.aio.Channel:
        if self._certificates is None:
            self._channel = self._channel or grpc.aio.insecure_channel(self._at, options=_OPTIONS)
            return self._channel
        material = self._certificates.current()
        if self._channel is None or material.generation != self._generation:
            await self.close()
            name = self._service if material.authority else first_name(material)
            named = [*_OPTIONS, ("grpc.ssl_target_name_override", name)]
            self._channel = grpc.aio.secure_channel(self._at, channel_credentials(material), options=named)
            self._generation = material.generation
        return self._channel
