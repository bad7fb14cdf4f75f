"""A gRPC server with everything a service of Provost needs around its methods.

server = Server(settings, "policy")
server.add(add_PolicyServicer_to_server, PolicyServicer(policy))
await server.start()            # answers health NOT_SERVING
await server.set_serving(True)  # once what it depends on has answered
await stopping.wait()
await server.stop()
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from chassis import metrics, telemetry
from chassis.config import ServiceSettings
from chassis.rpc import SMALL_MESSAGES
from chassis.rpc.ending import LAST_WORDS_SECONDS
from chassis.rpc.guard import Guard, Handler, Tell
from chassis.rpc.peers import MAY_CALL, Callers, Methods
from chassis.rpc.unread import Strangers, refusing, unread
from chassis.rpc.waiting import Health
from chassis.tls import certificates
from chassis.tls.certificates import of_gateway
from chassis.tls.rpc import server_credentials

Servicer = TypeVar("Servicer")
_log = telemetry.get_logger("chassis.rpc")


class PortTaken(Exception):
    """The port cannot be listened on; the text names it and the setting that changes it."""


class Server:
    """Serves what is added to it, on the port that `settings` give to `service`; `tell` has the last look at answers.

    `why` says what is wrong, in words, when health is asked; nothing when nothing is. Where `strangers` may call, what
    is added, health and reflection read no message before they are asked.

    Raises:
        ValueError: the internal key is to be checked but `PROVOST_INTERNAL_KEY` is not set.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        service: str,
        *,
        max_message_bytes: int = SMALL_MESSAGES,
        check_internal_key: bool = True,
        unary_seconds: float = 30.0,
        port: int | None = None,
        tell: Tell | None = None,
        why: Callable[[], str] = str,
        may_call: Mapping[str, Mapping[str, Methods]] = MAY_CALL,
        strangers: Strangers | None = None,
    ) -> None:
        key = settings.internal_key.get_secret_value() if check_internal_key else ""
        if check_internal_key and not key:
            raise ValueError("PROVOST_INTERNAL_KEY is not set: this port would be open to everyone")
        self.port = settings.port(service) if port is None else port
        self._host = settings.listen_host
        self._mutual = bool(key)
        self._certificates = (
            certificates.of(settings, service) if check_internal_key else of_gateway(settings)
        )
        self._setting = f"PROVOST_{service.upper()}_PORT"
        self._grace_seconds = settings.shutdown_seconds
        self._guard = Guard(
            key, unary_seconds, tell, Callers(may_call) if key and self._certificates else None
        )
        self._services: list[str] = []
        self._told_ready = False
        self._health = Health(why)
        self._strangers = strangers
        self._server = grpc.aio.server(options=_options(max_message_bytes, settings.connection_age_seconds))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._open())

    def add(self, register: Callable[[Servicer, Any], None], servicer: Servicer) -> None:
        """Serve `servicer`; `register` is the generated `add_…Servicer_to_server`."""
        register(servicer, cast(grpc.aio.Server, _Registrar(self._add_methods)))

    def add_generic(self, handler: grpc.GenericRpcHandler, services: Iterable[str] = ()) -> None:
        """Serve what `handler` finds, as it comes: it guards its method handlers itself, with `guard`.

        `services` are the full names to be answered for in health and reflection.
        """
        self._services.extend(services)
        self._server.add_generic_rpc_handlers((handler,))

    def guard(self, method: str, handler: Handler) -> Handler:
        """`handler` with everything around it that methods added by `add` have; do it once per method."""
        return self._guard.handler(method, handler)

    async def start(self) -> None:
        """Listen. Health is NOT_SERVING until `set_serving(True)`.

        Raises:
            PortTaken: somebody else listens there.
            CertificateTrouble: there is no certificate to show.
        """
        from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

        reflected = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        register: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        register(reflection.aio.ReflectionServicer(reflected), self._open())
        await self.set_serving(False)
        credentials = None
        if self._certificates is not None:
            credentials = server_credentials(self._certificates, clients=self._mutual)
        at = f"{self._host}:{self.port}"
        try:
            bound = (
                self._server.add_insecure_port(at)
                if credentials is None
                else self._server.add_secure_port(at, credentials)
            )
        except RuntimeError as error:
            raise PortTaken(
                f"port {self.port} on {self._host} cannot be listened on; "
                f"end what uses it or set {self._setting} to another"
            ) from error
        self.port = bound
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        """What health answers, for the server as a whole and for each of its services."""
        status = health_pb2.HealthCheckResponse
        for name in ("", *self._services):
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)
        if serving and not self._told_ready:
            self._told_ready = True
            followed = {"followed_to": positions} if (positions := metrics.positions()) else {}
            _log.info("ready", serves=self._services, at=f"{self._host}:{self.port}", **followed)

    async def stop(self) -> None:
        """Drain: health NOT_SERVING, streams ended, no new calls, `PROVOST_SHUTDOWN_SECONDS` for those in flight.

        A stream whose reader does not read is cut off: it would use up all that time for nothing.
        """
        await self._health.enter_graceful_shutdown()
        self._guard.end_streams()
        stopping = asyncio.ensure_future(self._server.stop(self._grace_seconds))
        answered = asyncio.ensure_future(self._guard.answered())
        await asyncio.wait({stopping, answered}, return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        await asyncio.wait({stopping}, timeout=2 * LAST_WORDS_SECONDS)
        if not stopping.done():
            await self._server.stop(None)
        await stopping

    def _add_methods(self, service: str, handlers: Mapping[str, Handler]) -> None:
        self._services.append(service)
        strangers = self._strangers
        read = handlers if strangers is None else {n: unread(each, strangers) for n, each in handlers.items()}
        guarded = {name: self._guard.handler(f"/{service}/{name}", each) for name, each in read.items()}
        self._server.add_registered_method_handlers(service, guarded)

    def _open(self) -> grpc.aio.Server:
        """For what is open to everyone: it has no guard around it."""
        strangers = self._strangers
        if strangers is None:
            return self._server

        def add(service: str, handlers: Mapping[str, Handler]) -> None:
            bounded = {name: refusing(unread(each, strangers)) for name, each in handlers.items()}
            self._server.add_registered_method_handlers(service, bounded)

        return cast(grpc.aio.Server, _Registrar(add))


class _Registrar:
    """Stands in for the server while generated code registers its methods, so that they can be wrapped."""

    def __init__(self, add_methods: Callable[[str, Mapping[str, Handler]], None]) -> None:
        self.add_registered_method_handlers = add_methods

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Nothing: the generated code registers each method a second time, by name, and that is what counts."""


def _options(max_message_bytes: int, age_seconds: float) -> list[tuple[str, Any]]:
    # A call in flight is let to its end; a stream, which may have none, for an hour.
    ages = [
        ("grpc.max_connection_age_ms", int(1000 * age_seconds)),
        ("grpc.max_connection_age_grace_ms", 3_600_000),
    ]
    return [
        *(ages if age_seconds else []),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.so_reuseport", 0),  # else a second server would silently share the port
        ("grpc.keepalive_time_ms", 30_000),  # notice a peer that went away without a word
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
    ]
