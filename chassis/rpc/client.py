"""Calls to other processes: retries by service config, deadlines always, faults as they were raised over there.

channel = client.channel(settings.policy_address, internal_key=key)
policy = PolicyStub(channel)
decision = await client.call(policy.Authorize, request, cause)
"""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol, Self, TypeVar

import grpc
import grpc.aio

from chassis import tracing
from chassis.rpc import SMALL_MESSAGES
from chassis.rpc.cause import INTERNAL_KEY, Metadata, metadata_of
from chassis.rpc.explaining import Explaining
from chassis.rpc.faults import PeerFailed, fault_of
from chassis.rpc.renewing import RenewedChannel
from chassis.tls.certificates import Certificates
from kernel.events import Cause
from kernel.faults import Fault

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response")

# Every call that changes something carries a request id, so trying again is always safe. CANCELLED from a server is
# what gRPC answers to calls that reach it while it shuts down; a call cancelled over here is never tried again.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}
_IN_TURN: Any = {"loadBalancingConfig": [{"round_robin": {}}]}
# Each process takes one of them at random, and another when that has gone.
_ONE: Any = {"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]}


class Unary(Protocol[Request, Response]):
    """A unary method of a generated stub."""

    def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        wait_for_ready: bool | None = None,
    ) -> "grpc.aio.UnaryUnaryCall[Any, Response]": ...


class Streaming(Protocol[Request, Response]):
    """A method of a generated stub that answers with a stream."""

    def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        wait_for_ready: bool | None = None,
    ) -> "grpc.aio.UnaryStreamCall[Any, Response]": ...


def channel(
    address: str,
    *,
    internal_key: str = "",
    max_message_bytes: int = SMALL_MESSAGES,
    service: str = "",
    certificates: Certificates | None = None,
    one_replica: bool = False,
) -> grpc.aio.Channel:
    """A channel to every replica of `service` at `address` (`host:port`, or several with commas between).

    It connects when first used, and again whenever the peer comes back. Calls through it bear the internal key. With
    `certificates` it shows them, and talks to nobody who does not show one of `service`. With `one_replica` all calls
    go to the same one as long as it is there, so that what was written there is known when it is asked about.
    """
    target = f"ipv4:{address}" if "," in address else address
    options = _options(max_message_bytes, _ONE if one_replica else _IN_TURN)
    inner: grpc.aio.Channel
    if certificates is None:
        inner = grpc.aio.insecure_channel(target, options=options)
    else:
        inner = RenewedChannel(target, service, certificates, options)
    if not internal_key:
        return inner
    explaining = Explaining(inner, address, service, certificates)
    return _KeyedChannel(inner, ((INTERNAL_KEY, internal_key),), explaining)


async def call(
    method: Unary[Request, Response],
    request: Request,
    cause: Cause,
    timeout_seconds: float = 5.0,
    *,
    roles: Iterable[str] = ("service",),
    wait_for_ready: bool = True,
) -> Response:
    """What `method` answers.

    A peer that is not there is waited for until the deadline, so that services may restart in any order;
    `wait_for_ready=False` fails at once instead.

    Raises:
        Fault: as raised by the peer, or Unavailable when it cannot be reached or does not answer in time.
        PeerFailed: a bug over there.
    """
    try:
        if not tracing.enabled():
            metadata = metadata_of(cause, roles)
            return await method(
                request, timeout=timeout_seconds, metadata=metadata, wait_for_ready=wait_for_ready
            )
        with tracing.span(getattr(method, "__name__", "call"), kind="CLIENT", traceparent=cause.traceparent):
            metadata = metadata_of(cause, roles)
            return await method(
                request, timeout=timeout_seconds, metadata=metadata, wait_for_ready=wait_for_ready
            )
    except grpc.aio.AioRpcError as error:
        raise await _explained(method, error) from None


async def stream(
    method: Streaming[Request, Response],
    request: Request,
    cause: Cause,
    timeout_seconds: float | None = None,
    *,
    roles: Iterable[str] = ("service",),
    wait_for_ready: bool = True,
) -> AsyncIterator[Response]:
    """The answers of a streaming `method`; raises what `call` raises. Close it (`aclosing`) to end the call early."""
    answers = method(
        request, timeout=timeout_seconds, metadata=metadata_of(cause, roles), wait_for_ready=wait_for_ready
    )
    try:
        async for answer in answers:
            yield answer
    except grpc.aio.AioRpcError as error:
        raise await _explained(method, error) from None
    finally:
        answers.cancel()


async def _explained(method: Any, error: grpc.aio.AioRpcError) -> Fault | PeerFailed:
    fault, explaining = fault_of(error), getattr(method, "explaining", None)
    return fault if explaining is None else await explaining.of(fault)


def _options(max_message_bytes: int, balancing: Any) -> list[tuple[str, Any]]:
    return [
        ("grpc.service_config", json.dumps(balancing | _SERVICE_CONFIG)),
        ("grpc.enable_retries", 1),
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes + 65_536),  # what does not fit is not retried
        ("grpc.http2.bdp_probe", 0),  # it lets windows grow to megabytes for each slow reader
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # A new replica is seen when a connection has ended.
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


class _KeyedChannel(grpc.aio.Channel):
    """Adds the internal key to the metadata of every call: an interceptor would cost a task per call."""

    def __init__(self, inner: grpc.aio.Channel, key: Metadata, explaining: Explaining) -> None:
        self._inner = inner
        self._key = key
        self.explaining = explaining

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._keyed(method, self._inner.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._keyed(method, self._inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._keyed(method, self._inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._keyed(method, self._inner.stream_stream(method, *args, **kwargs))

    def _keyed(self, method: str, inner: Any) -> Any:
        key = self._key

        def keyed(*args: Any, metadata: Any = None, **kwargs: Any) -> Any:
            return inner(*args, metadata=(*key, *(metadata or ())), **kwargs)

        keyed.__name__ = method.lstrip("/")  # what spans are named after
        keyed.explaining = self.explaining  # type: ignore[attr-defined]
        return keyed

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._inner.close()
