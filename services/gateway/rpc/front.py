"""Every other service's methods, offered here: the caller is checked, the bytes pass unread in both directions.

What is offered follows from the protos and the table of rights alone. Metadata of the client's own is dropped: services
are told who is calling by the gateway, and by nobody else.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from chassis.rpc import SMALL_MESSAGES
from chassis.rpc.cause import Context
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
from services.gateway.rpc.peer import host_of
from services.gateway.rpc.reading import Reading, too_large

Guard = Callable[[str, Handler], Handler]
Messages = AsyncIterator[bytes]
Ask = Callable[[str, Messages, Caller, Context], AsyncGenerator[bytes, None]]
"""How a stream is asked for behind: the method, what the client sends, by whom, and its call."""


OFFERED: tuple[ServiceDescriptor, ...] = tuple(
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (policy_pb2, "PolicyService"),
        (state_pb2, "StateService"),
        (ledger_pb2, "LedgerService"),
        (orchestrator_pb2, "OrchestratorService"),
    )
)


class Front(grpc.GenericRpcHandler):
    """Finds the handler of a method; each is made once, inside `guard`, and reads by `reading` whom it has let in."""

    def __init__(self, gateway: Gateway, behind: PassThrough, guard: Guard, reading: Reading) -> None:
        self._gateway = gateway
        self._behind = behind
        self._reading = reading
        self._exchanges: Mapping[str, Ask] = {
            "/provost.policy.v1.PolicyService/StreamAuthorize": self._paced,
            "/provost.orchestrator.v1.OrchestratorService/AttachAgent": self._welcomed,
        }
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
            return grpc.stream_stream_rpc_method_handler(self._streaming(name, right, self._exchanges[name]))
        if method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming(name, right, self._answers))
        if method.client_streaming:
            raise TypeError(f"{name}: nothing passes client streams through yet")
        return grpc.stream_unary_rpc_method_handler(self._unary(name, right))

    def _unary(self, name: str, right: Right) -> Callable[[Messages, Context], Any]:
        async def unary(messages: Messages, context: Context) -> bytes:
            caller = await admit(self._gateway, context, name, right)
            with Counted(self._gateway.tenant_shown(caller), context):
                try:
                    async with self._reading.request(name, messages, caller, host_of(context)) as request:
                        if name == _CREATE_SESSION and not caller.roles:
                            knock = Knock("", name, host_of(context))
                            await self._gateway.admit_bearer(caller, _role_of(request), knock)
                        answer, said = await self._behind.unary(
                            name, request, caller, context.time_remaining()
                        )
                except grpc.aio.AioRpcError as error:
                    await self._pass_on(context, error, name, right, caller)
            if passed := _passed_on(said):
                context.set_trailing_metadata(passed)
            return answer

        return unary

    def _streaming(
        self, name: str, right: Right, ask: Ask
    ) -> Callable[[Messages, Context], AsyncIterator[bytes]]:
        async def streaming(messages: Messages, context: Context) -> AsyncIterator[bytes]:
            caller = await admit(self._gateway, context, name, right)
            with Counted(self._gateway.tenant_shown(caller), context):
                try:
                    async with aclosing(ask(name, messages, caller, context)) as answering:
                        async for answer in answering:
                            yield answer
                except grpc.aio.AioRpcError as error:
                    await self._pass_on(context, error, name, right, caller)

        return streaming

    async def _answers(
        self, name: str, messages: Messages, caller: Caller, context: Context
    ) -> AsyncGenerator[bytes, None]:
        async with self._reading.request(name, messages, caller, host_of(context)) as request:
            passing = self._behind.answers(name, request, caller, context.time_remaining())
            async with aclosing(passing) as answering:
                async for answer in answering:
                    yield answer

    async def _paced(
        self, name: str, messages: Messages, caller: Caller, context: Context
    ) -> AsyncGenerator[bytes, None]:
        """No faster than the caller's rate: what waits here is not read, so that the client waits, too."""

        async def paced() -> AsyncGenerator[bytes, None]:
            first = True
            async for message in messages:
                if not first:  # the call itself was counted
                    await self._gateway.pace(caller)
                first = False
                yield message

        async with aclosing(self._passed(name, paced(), caller, context)) as answering:
            async for answer in answering:
                yield answer

    async def _welcomed(
        self, name: str, messages: Messages, caller: Caller, context: Context
    ) -> AsyncGenerator[bytes, None]:
        """The first message proves who it is: until it is answered nothing more is read."""
        first = await self._reading.hello(messages, host_of(context))
        welcome = asyncio.Event()

        async def said() -> AsyncGenerator[bytes, None]:
            yield first
            await welcome.wait()
            async for message in messages:
                yield message

        async with aclosing(self._passed(name, said(), caller, context)) as answering:
            async for answer in answering:
                welcome.set()
                yield answer

    async def _passed(
        self, name: str, messages: AsyncGenerator[bytes, None], caller: Caller, context: Context
    ) -> AsyncGenerator[bytes, None]:
        """An exchange, until a message is too large for it."""
        large = False

        async def small() -> AsyncIterator[bytes]:
            nonlocal large
            async for message in messages:
                if large := len(message) > SMALL_MESSAGES:
                    return
                yield message

        passing = self._behind.exchange(name, small(), caller, context.time_remaining())
        async with aclosing(passing) as answering:
            async for answer in answering:
                yield answer
        if large:
            raise too_large()

    async def _pass_on(
        self, context: Context, error: grpc.aio.AioRpcError, method: str, right: Right, caller: Caller
    ) -> NoReturn:
        if not right.roles and error.code() in _TURNED_AWAY:
            fault = fault_of(error)
            if isinstance(fault, Fault):
                self._gateway.turned_away(caller, fault.reason, Knock("", method, host_of(context)))
        trailing = _passed_on(error.trailing_metadata() or ())
        await context.abort(error.code(), error.details() or "", trailing)


async def admit(gateway: Gateway, context: Context, method: str, right: Right) -> Caller:
    """The caller of a gRPC method; raises as `Gateway.admit`.

    `x-tenant` says which tenant's credentials a request carries where no key is asked for.
    """
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    key, tenant = metadata.get("x-api-key", ""), metadata.get("x-tenant", "")
    return await gateway.admit(Knock(key, method, host_of(context), tenant), right)


def _role_of(request: bytes) -> str:
    try:
        return policy_pb2.CreateSessionRequest.FromString(request).role_id
    except Exception:  # noqa: BLE001 - protobuf raises several, and policy will say what is wrong with it
        return ""


def _passed_on(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((key, value) for key, value in metadata if key in _PASSED_ON)


_PASSED_ON = frozenset({"grpc-status-details-bin", "provost-stale-seconds"})
_CREATE_SESSION = "/provost.policy.v1.PolicyService/CreateSession"
_TURNED_AWAY = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
