"""What the client of a WebSocket sends though nobody asked for it, as the kernel counts it.

granian keeps what has come of a message, up to 64 MiB of it for each socket, and tells of it only once it is whole. So
the bytes of the connection are counted beside it, under TLS as well. The connection is granian's own, which hands out
none: it is found among the descriptors of this process by its two ends.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress

from starlette.types import Scope

MAX_BYTES = 64 * 1024
"""How much a client may send in all: a close, and pings, which are answered (one every 20 s: for ten hours)."""
LOOK_SECONDS = 1.0
"""How often it is looked at besides: it is not told of what granian has taken before the loop looks what there is."""
_BYTES_RECEIVED = struct.Struct("=128xQ")  # its place in Linux' `struct tcp_info`


async def too_much(scope: Scope) -> None:
    """Return once the client of `scope` has sent more than `MAX_BYTES` from now on, or its connection is gone."""
    connection = _connection(scope)
    if connection is None:
        return
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    allowed = _received(connection) + MAX_BYTES

    def look() -> None:
        if _received(connection) > allowed and not over.done():
            over.set_result(None)

    with connection:
        loop.add_reader(connection, look)
        try:
            while not over.done():
                look()
                await asyncio.wait({over}, timeout=LOOK_SECONDS)
        finally:
            loop.remove_reader(connection)


def _received(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
    (received,) = _BYTES_RECEIVED.unpack(info)
    return int(received)


def _connection(scope: Scope) -> socket.socket | None:
    """A second descriptor of it: the first may be closed, and its number given to another, at any moment."""
    # granian's ports are texts.
    ends = tuple((host, int(port)) for host, port in (scope["client"], scope["server"]))
    # Those that were opened last first. Of 12,000, pathlib would take twice the time.
    for number in sorted(map(int, os.listdir("/proc/self/fd")), reverse=True):  # noqa: PTH208
        with suppress(OSError):  # closed meanwhile, no socket, or not connected
            seen = socket.socket(fileno=number)
            try:
                if (seen.getpeername()[:2], seen.getsockname()[:2]) == ends:
                    # Not `dup`: it would make the connection a blocking one, for granian as well.
                    return socket.socket(fileno=os.dup(number))
            finally:
                seen.detach()
    return None
