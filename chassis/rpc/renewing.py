"""A channel over mutual TLS that goes on with a renewed certificate: new calls take it, others end as they began.

gRPC has no client credentials that can be changed, so there is one channel for each certificate underneath.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc
import grpc.aio

from chassis.tls.certificates import Certificates
from chassis.tls.rpc import channel_credentials

_AS_LONG_AS_IT_TAKES = 10 * 365 * 24 * 3600.0


class RenewedChannel(grpc.aio.Channel):
    """To `service` at `target`. Whoever answers there must show the certificate of that service, wherever it runs."""

    def __init__(
        self, target: str, service: str, certificates: Certificates, options: list[tuple[str, Any]]
    ) -> None:
        self._target = target
        self._options = [*options, ("grpc.ssl_target_name_override", service)]
        self._certificates = certificates
        self._material = certificates.current()
        self._inner = self._made()
        self._retiring: set[asyncio.Task[None]] = set()

    def _made(self) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(self._target, channel_credentials(self._material), self._options)

    def _current(self) -> grpc.aio.Channel:
        material = self._certificates.current()
        if material is not self._material:
            self._material, old = material, self._inner
            self._inner = self._made()
            retiring = asyncio.ensure_future(old.close(_AS_LONG_AS_IT_TAKES))  # once its last call has ended
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        return self._inner

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(lambda channel: channel.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(lambda channel: channel.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(lambda channel: channel.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(lambda channel: channel.stream_stream(method, *args, **kwargs))

    def _calling(self, make: Callable[[grpc.aio.Channel], Any]) -> Any:
        current = self._current
        over = current()
        method = make(over)

        def calling(*args: Any, **kwargs: Any) -> Any:
            nonlocal over, method
            channel = current()
            if channel is not over:
                over, method = channel, make(channel)
            return method(*args, **kwargs)

        return calling

    async def close(self, grace: float | None = None) -> None:
        for each in self._retiring:
            each.cancel()
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current().channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
