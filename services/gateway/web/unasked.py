"""What the client of a WebSocket sends though nobody asked for it, as the kernel counts it.

granian keeps what has come of a message, up to 64 MiB of it for each socket, and tells of it only once it is whole. So
the bytes of the connection are counted beside it, under TLS as well. The connection is granian's own, which hands out
none: it is found among the descriptors of this process by who is at its other end.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from functools import cache

from starlette.types import Scope

from chassis import telemetry

MAX_BYTES = 64 * 1024
"""How much a client may send at once: a close, and pings, which are answered."""
BYTES_EACH_LOOK = 64
"""How much more it may send for each look: a ping every second, under TLS, for as long as it likes."""
LOOK_SECONDS = 1.0
"""How often it is looked at besides: it is not told of what granian has taken before the loop looks what there is."""
_BYTES_RECEIVED = struct.Struct("=128xQ")  # its place in Linux' `struct tcp_info`
_log = telemetry.get_logger("gateway.web")


async def too_much(scope: Scope) -> None:
    """Return once the client of `scope` has sent more than it may from now on; never where that cannot be counted."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    try:
        connection = _connection(scope)
    except OSError as problem:
        await asyncio.sleep(LOOK_SECONDS)  # whoever has gone already is not worth a word
        _tell_once(str(problem))
        await over
        return
    allowed = _received(connection) + MAX_BYTES

    def look() -> None:
        if _received(connection) > allowed and not over.done():
            over.set_result(None)

    with connection:
        loop.add_reader(connection, look)
        try:
            while not over.done():
                await asyncio.wait({over}, timeout=LOOK_SECONDS)
                look()
                allowed = allowance(allowed, _received(connection))
        finally:
            loop.remove_reader(connection)


def allowance(before: int, received: int) -> int:
    """How much a client may have sent in all by the next look, of which it has sent `received` by this one."""
    return min(before + BYTES_EACH_LOOK, received + MAX_BYTES)


def _received(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
    (received,) = _BYTES_RECEIVED.unpack(info.ljust(_BYTES_RECEIVED.size, b"\0"))
    return int(received)


def _connection(scope: Scope) -> socket.socket:
    """A second descriptor of it: the first may be closed, and its number given to another, at any moment.

    Raises:
        OSError: there is none, or its bytes cannot be counted.
    """
    # granian's ports are texts, and its server is what it listens on: of that, 0.0.0.0 say, only the port is the
    # connection's own. A client over IPv4 is ::ffff:127.0.0.1 to both where that is `::`.
    (host, port), (_, own_port) = scope["client"], scope["server"]
    peer = host, int(port)
    # Those that were opened last first. Of 12,000, pathlib would take twice the time.
    for number in sorted(map(int, os.listdir("/proc/self/fd")), reverse=True):  # noqa: PTH208
        with suppress(OSError):  # closed meanwhile, no socket, or not connected
            seen = socket.socket(fileno=number)
            try:
                if (
                    seen.getpeername()[:2] == peer
                    and seen.getsockname()[1] == int(own_port)
                    and _received(seen)
                ):
                    # Not `dup`: it would make the connection a blocking one, for granian as well.
                    return socket.socket(fileno=os.dup(number))
            finally:
                seen.detach()
    raise OSError("no descriptor is of its connection, or none that the kernel counts")


@cache
def _tell_once(problem: str) -> None:
    _log.warning("what clients of WebSockets send is not counted", problem=problem)
