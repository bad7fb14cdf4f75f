"""What people put in front of the gateways: one address that passes connections on to those that are there."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

FRESH_SECONDS = 2.0


class Front:
    """Listens on a port of the system's choosing; `where` names what it passes on to, asked anew every now and then."""

    def __init__(self, where: Callable[[], list[tuple[str, int]]]) -> None:
        self._where = where
        self._known: list[tuple[str, int]] = []
        self._asked = 0.0
        self._turn = count()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await self._connected()
            if there is not None:
                await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        finally:
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for fresh in (False, True):
            if fresh or time.monotonic() - self._asked > FRESH_SECONDS:
                self._known, self._asked = await asyncio.to_thread(self._where), time.monotonic()
            start = next(self._turn)
            for n in range(len(self._known)):
                host, port = self._known[(start + n) % len(self._known)]
                with suppress(OSError, TimeoutError):
                    return await asyncio.wait_for(asyncio.open_connection(host, port), 0.5)
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
