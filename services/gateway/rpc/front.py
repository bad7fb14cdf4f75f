"""Every other service's methods, offered here: the caller is checked, the bytes pass unread in both directions.

What is offered follows from the protos and the table of rights alone. Metadata of the client's own is dropped: services
are told who is calling by the gateway, and by nobody else.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from chassis.rpc.faults import fault_of
from chassis.rpc.guard import Handler
from kernel.faults import Fault
from provost.ledger.v1 import ledger_pb2
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from services.gateway.domain.callers import Caller
from services.gateway.domain.rights import GRPC, Right
from services.gateway.handlers import Gateway, Knock
from services.gateway.ports import PassThrough
from services.gateway.rpc.counted import Counted

Context = grpc.aio.ServicerContext[Any, Any]
Guard = Callable[[str, Handler], Handler]
G = TypeVar("G")
Ask = Callable[[str, G, Caller, float | None], AsyncGenerator[bytes, None]]
"""How a stream is asked for behind: the method, what was given (a request, or requests), by whom, and for how long."""


OFFERED: tuple[ServiceDescriptor, ...] = tuple(
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (policy_pb2, "PolicyService"),
        (state_pb2, "StateService"),
        (ledger_pb2, "LedgerService"),
        (orchestrator_pb2, "OrchestratorService"),
    )
)
_PEER = re.compile(r"ipv[46]:(?P<host>.+):\d+")


class Front(grpc.GenericRpcHandler):
    """Finds the handler of a method; each is made once, inside `guard`."""

    def __init__(self, gateway: Gateway, behind: PassThrough, guard: Guard) -> None:
        self._gateway = gateway
        self._behind = behind
        self._handlers: Mapping[str, Handler] = {
            name: guard(name, self._handler(name, method))
            for service in OFFERED
            for method in service.methods
            for name in (f"/{service.full_name}/{method.name}",)
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        return self._handlers.get(handler_call_details.method)

    def _handler(self, name: str, method: MethodDescriptor) -> Handler:
        right = GRPC[name]  # a method without a row is a mistake that shows at once
        if method.client_streaming and method.server_streaming:
            exchange = self._paced if name in _PACED else self._behind.exchange
            return grpc.stream_stream_rpc_method_handler(self._streaming(name, right, exchange))
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(name, right, self._behind.answers))
        if method.client_streaming:
            raise TypeError(f"{name}: nothing passes client streams through yet")
        return grpc.unary_unary_rpc_method_handler(self._unary(name, right))

    def _unary(self, name: str, right: Right) -> Callable[[bytes, Context], Any]:
        async def unary(request: bytes, context: Context) -> bytes:
            caller = await admit(self._gateway, context, name, right)
            with Counted(self._gateway.tenant_shown(caller), context):
                try:
                    answer, said = await self._behind.unary(name, request, caller, context.time_remaining())
                except grpc.aio.AioRpcError as error:
                    await self._pass_on(context, error, name, right, caller)
            if passed := _passed_on(said):
                context.set_trailing_metadata(passed)
            return answer

        return unary

    def _streaming(
        self, name: str, right: Right, ask: Ask[G]
    ) -> Callable[[G, Context], AsyncIterator[bytes]]:
        async def streaming(given: G, context: Context) -> AsyncIterator[bytes]:
            caller = await admit(self._gateway, context, name, right)
            with Counted(self._gateway.tenant_shown(caller), context):
                try:
                    passing = ask(name, given, caller, context.time_remaining())
                    async with aclosing(passing) as answering:
                        async for answer in answering:
                            yield answer
                except grpc.aio.AioRpcError as error:
                    await self._pass_on(context, error, name, right, caller)

        return streaming

    def _paced(
        self, name: str, requests: AsyncIterator[bytes], caller: Caller, timeout_seconds: float | None
    ) -> AsyncGenerator[bytes, None]:
        """No faster than the caller's rate: what waits here is not read, so that the client waits, too."""

        async def paced() -> AsyncIterator[bytes]:
            first = True
            async for request in requests:
                if not first:  # the call itself was counted
                    await self._gateway.pace(caller)
                first = False
                yield request

        return self._behind.exchange(name, paced(), caller, timeout_seconds)

    async def _pass_on(
        self, context: Context, error: grpc.aio.AioRpcError, method: str, right: Right, caller: Caller
    ) -> NoReturn:
        if not right.roles and error.code() in _TURNED_AWAY:
            fault = fault_of(error)
            if isinstance(fault, Fault):
                self._gateway.turned_away(caller, fault.reason, Knock("", method, _host(context)))
        trailing = _passed_on(error.trailing_metadata() or ())
        await context.abort(error.code(), error.details() or "", trailing)


async def admit(gateway: Gateway, context: Context, method: str, right: Right) -> Caller:
    """The caller of a gRPC method; raises as `Gateway.admit`.

    `x-tenant` says which tenant's credentials a request carries where no key is asked for.
    """
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    key, tenant = metadata.get("x-api-key", ""), metadata.get("x-tenant", "")
    return await gateway.admit(Knock(key, method, _host(context), tenant), right)


def _host(context: Context) -> str:
    found = _PEER.fullmatch(context.peer())
    host = found["host"] if found else context.peer()
    return host.removeprefix("%5B").removesuffix("%5D") if host.startswith("%5B") else host


def _passed_on(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((key, value) for key, value in metadata if key in _PASSED_ON)


_PASSED_ON = frozenset({"grpc-status-details-bin", "provost-stale-seconds"})
_PACED = frozenset({"/provost.policy.v1.PolicyService/StreamAuthorize"})
"""Streams each of whose requests counts as a call."""
_TURNED_AWAY = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
