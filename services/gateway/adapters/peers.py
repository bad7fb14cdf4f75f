"""The services behind the door, over gRPC. One that is away for a moment, as when it restarts, is waited for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import grpc
import grpc.aio

from chassis import process, tracing
from chassis.rpc import LARGE_MESSAGES
from chassis.rpc.cause import REQUEST, Metadata, metadata_of
from chassis.rpc.client import Streaming, Unary, channel
from chassis.rpc.faults import DETAILS_KEY, fault_of
from chassis.tls.certificates import Certificates
from kernel.events import Cause
from kernel.faults import Unavailable
from services.gateway.domain.callers import Caller

Request = TypeVar("Request")
Response = TypeVar("Response")

STALE = "provost-stale-seconds"
PATIENCE_SECONDS = 20.0  # a service that is asked to stop drains for 10 s and is back a few seconds later
_PAUSE_SECONDS = 0.05


class Peer:
    """One service, at however many replicas. `channel` bears the internal key."""

    def __init__(
        self, name: str, channel: grpc.aio.Channel, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.name = name
        self.channel = channel
        self._patience_seconds = patience_seconds

    async def ask(
        self,
        method: Unary[Request, Response],
        request: Request,
        caller: Caller,
        timeout_seconds: float = 5.0,
    ) -> Response:
        """What `method` answers on behalf of `caller`.

        Raises:
            Fault: as raised over there, or Unavailable (`PEER_UNREACHABLE`) when it stays away.
            PeerFailed: a bug over there.
        """
        return (await self.ask_how_old(method, request, caller, timeout_seconds))[0]

    async def ask_how_old(
        self,
        method: Unary[Request, Response],
        request: Request,
        caller: Caller,
        timeout_seconds: float = 5.0,
    ) -> tuple[Response, int | None]:
        """The same, and how many seconds old the answer may be, if that is said."""
        metadata = _of_one_call(caller)

        async def attempt() -> tuple[Response, int | None]:
            call = method(request, timeout=timeout_seconds, metadata=metadata, wait_for_ready=False)
            return await call, _stale_seconds(await call.trailing_metadata() or ())

        try:
            with tracing.span(f"ask {self.name}", kind="CLIENT"):
                return await self.patiently(attempt)
        except Unavailable as away:
            raise self._unanswered(away.reason, f"{self.name} does not answer", request) from None
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                text = f"{self.name} has not answered within {timeout_seconds:g} s"
                raise self._unanswered("DEADLINE_EXCEEDED", text, request) from None
            raise fault_of(error) from None

    async def ask_all(
        self,
        method: Streaming[Request, Response],
        request: Request,
        caller: Caller,
        timeout_seconds: float | None,
    ) -> AsyncGenerator[Response, None]:
        """Everything `method` answers on behalf of `caller`, for ever without a timeout; raises as `ask`.

        That one is more patient.
        """
        call = method(request, timeout=timeout_seconds, metadata=_of_one_call(caller))
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise (self.unreachable() if _is_away(error) else fault_of(error)) from None
        finally:
            call.cancel()

    async def patiently(self, attempt: Callable[[], Awaitable[Response]]) -> Response:
        """What `attempt` comes to, made again while the service is away: whatever it changes, it changes once.

        Raises:
            grpc.aio.AioRpcError: what the service answered.
            Unavailable: it stayed away (`PEER_UNREACHABLE`).
        """
        until = process.monotonic() + self._patience_seconds
        while True:
            try:
                return await attempt()
            except grpc.aio.AioRpcError as error:
                if not _is_away(error):
                    raise
            if process.monotonic() + _PAUSE_SECONDS >= until:
                await self._explain()
                raise self.unreachable()
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._come_back(until)

    def unreachable(self) -> Unavailable:
        return Unavailable("PEER_UNREACHABLE", f"{self.name} does not answer; try again", peer=self.name)

    def _unanswered(self, reason: str, text: str, request: object) -> Unavailable:
        """No answer: whether what a `request` would change has changed, nobody here knows."""
        request_id = getattr(request, "request_id", None)
        if request_id is None:
            text += "; try again"
        else:
            shown = "GET /api/runs" if self.name == "orchestrator" else "GET /api/events"
            text += f", and it may have taken effect: {shown} shows it"
        if request_id:
            text += f"; asked again under the same request id ({request_id}) it takes effect once"
        return Unavailable(reason, text, peer=self.name)

    async def _explain(self) -> None:
        """Have the log say why, when it is about certificates: those outside need not know."""
        explaining = getattr(self.channel, "explaining", None)
        if explaining is not None:
            await explaining.why()

    async def _come_back(self, until: float) -> None:
        state = self.channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            try:
                async with asyncio.timeout(until - process.monotonic()):
                    await self.channel.wait_for_state_change(state)
            except TimeoutError:
                return
            state = self.channel.get_state(try_to_connect=True)


def peers_at(
    addresses: Mapping[str, str], internal_key: str, certificates: Certificates | None = None
) -> dict[str, Peer]:
    """A peer for each service, by name; it is connected to when first asked."""

    def to(service: str) -> grpc.aio.Channel:
        return channel(
            addresses[service], internal_key=internal_key, max_message_bytes=LARGE_MESSAGES, service=service,
            certificates=certificates, one_replica=service == "state",
        )  # fmt: skip

    return {name: Peer(name, to(name)) for name in addresses}


def metadata_for(caller: Caller) -> Metadata:
    """What tells the services on whose behalf a call is made: ours alone, nothing of what the client sent."""
    cause = Cause(caller.tenant, "", caller.actor, process.now())
    return metadata_of(cause, roles=sorted(caller.roles))


def _of_one_call(caller: Caller) -> Metadata:
    """With an id for a request that names none, which is not looked into here: it may be sent more than once."""
    return (*metadata_for(caller), (REQUEST, process.new_id()))


def _stale_seconds(metadata: Iterable[tuple[str, str | bytes]]) -> int | None:
    return next((int(value) for key, value in metadata if key == STALE), None)


def _is_away(error: grpc.aio.AioRpcError) -> bool:
    """It cannot be reached or is about to end, as opposed to having answered that it cannot do this now."""
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return False
    answered = any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    fault = fault_of(error)
    return not answered or (isinstance(fault, Unavailable) and fault.reason == "SHUTTING_DOWN")


class PassThrough:
    """Implements `ports.PassThrough`: bytes in, bytes out, to the service that the method names."""

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers
        self._unary: dict[str, Any] = {}

    async def unary(
        self, method: str, request: bytes, caller: Caller, timeout_seconds: float | None
    ) -> tuple[bytes, Iterable[tuple[str, str | bytes]]]:
        peer = self._peer(method)
        call = self._unary.get(method)
        if call is None:
            call = self._unary[method] = peer.channel.unary_unary(method)
        metadata = _of_one_call(caller)

        async def attempt() -> tuple[bytes, Iterable[tuple[str, str | bytes]]]:
            answering = call(request, timeout=timeout_seconds, metadata=metadata, wait_for_ready=False)
            return await answering, await answering.trailing_metadata() or ()

        return await peer.patiently(attempt)

    async def answers(
        self, method: str, request: bytes, caller: Caller, timeout_seconds: float | None
    ) -> AsyncGenerator[bytes, None]:
        begin: Any = self._peer(method).channel.unary_stream(method)
        call = begin(request, timeout=timeout_seconds, metadata=_of_one_call(caller))
        try:
            async for answer in call:
                yield answer
        finally:
            call.cancel()

    async def exchange(
        self, method: str, requests: AsyncIterator[bytes], caller: Caller, timeout_seconds: float | None
    ) -> AsyncGenerator[bytes, None]:
        begin: Any = self._peer(method).channel.stream_stream(method)
        call = begin(requests, timeout=timeout_seconds, metadata=_of_one_call(caller))
        try:
            async for answer in call:
                yield answer
        finally:
            call.cancel()

    def _peer(self, method: str) -> Peer:
        # /provost.<service>.v1.<Service>/<Method>
        return self._peers[method.split(".", 2)[1]]
