"""How messages come in over gRPC: so many at once, so large and so slowly, and those of strangers apart from others'.

The server takes messages of 34 MiB for the one method that needs them, and gRPC knows no limit for each method. So no
message is read before its caller was admitted (`chassis.rpc.unread`), and only so many at a time are on their way in:
that bounds the memory, whatever is sent. One that has arrived with its call, as small ones do, waits for nothing.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from chassis.rpc import SMALL_MESSAGES
from chassis.rpc.cause import Context
from chassis.rpc.unread import Messages
from kernel.faults import Exhausted, Invalid, Unavailable
from services.gateway.domain.callers import Caller
from services.gateway.domain.faults import TooManyWatches
from services.gateway.handlers.places import LargePlaces, Places
from services.gateway.rpc.peer import host_of

LARGE = frozenset({"/provost.orchestrator.v1.OrchestratorService/ProcessLog"})
LARGE_BYTES = 1024 * 1024
"""From here on a message takes one of the places that large bodies over REST take."""
STRANGERS_SECONDS, CALLERS_SECONDS = 5.0, 60.0
HELLO_SECONDS = 10.0
STREAMS_PER_HOST, STREAMS = 16, 256
"""Streams of callers without a key: health that is watched, reflection."""


class Reading:
    """Reads the messages of one front, within its bounds. Implements `chassis.rpc.unread.Strangers`."""

    def __init__(self, large: LargePlaces) -> None:
        self._large = large
        self._strangers, self._callers, self._logs = Places(4, 24), Places(4, 16), Places(2, 8)
        self._open: Counter[str] = Counter()

    @asynccontextmanager
    async def request(
        self, method: str, messages: Messages, caller: Caller, host: str
    ) -> AsyncIterator[bytes]:
        """The one message of a call that was admitted; a large one has its place until it is done with.

        Raises:
            Exhausted: it is larger than `method` takes (`MESSAGE_TOO_LARGE`).
            Invalid: there is none.
            Unavailable: there are too many at the moment (`GATEWAY_BUSY`), or it took too long.
        """
        if not caller.roles:
            yield await self._small(self._strangers, host, messages, STRANGERS_SECONDS)
            return
        holder = f"{caller.tenant}/{caller.actor}"
        if method not in LARGE:
            yield await self._small(self._callers, holder, messages, CALLERS_SECONDS)
            return
        async with self._logs.one(holder):
            message = await _only(messages, CALLERS_SECONDS)
            large = len(message) > LARGE_BYTES
            if large:
                await self._large.take()
        try:
            yield message
        finally:
            if large:
                self._large.release()

    async def hello(self, messages: Messages, host: str) -> bytes:
        """The first message of a stream that brings its own credentials; raises as `request`."""
        async with self._strangers.one(host):
            message = await _first(messages, HELLO_SECONDS)
            if len(message) > SMALL_MESSAGES:
                del message  # the fault's traceback would hold on to it
                raise too_large()
            return message

    async def message(self, messages: Messages, context: Context) -> bytes:
        return await self._small(self._strangers, host_of(context), messages, STRANGERS_SECONDS)

    @contextmanager
    def stream(self, context: Context) -> Iterator[None]:
        host = host_of(context)
        if self._open[host] >= STREAMS_PER_HOST:
            raise TooManyWatches(STREAMS_PER_HOST, "this address has")
        if self._open.total() >= STREAMS:
            raise TooManyWatches(STREAMS, "callers without a key have")
        self._open[host] += 1
        try:
            yield
        finally:
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]

    async def _small(self, places: Places, holder: str, messages: Messages, seconds: float) -> bytes:
        async with places.one(holder):
            message = await _only(messages, seconds)
            if len(message) > SMALL_MESSAGES:
                del message
                raise too_large()
            return message


def too_large() -> Exhausted:
    most = SMALL_MESSAGES // 2**20
    return Exhausted("MESSAGE_TOO_LARGE", f"larger than the {most} MiB that this method takes")


async def _only(messages: Messages, seconds: float) -> bytes:
    message = await _first(messages, seconds)
    await _let_go(messages)
    return message


async def _first(messages: Messages, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await anext(aiter(messages))
    except StopAsyncIteration:
        raise Invalid("MALFORMED_MESSAGE", "the call has no message") from None
    except TimeoutError:
        raise Unavailable("DEADLINE_EXCEEDED", f"no message arrived within {seconds:g} s") from None


async def _let_go(messages: Messages) -> None:
    # gRPC's reader holds on to what it has read last until the call is over.
    reader: Any = aiter(messages)
    await reader.aclose()
