"""A TCP proxy of our own that cuts two processes off from each other, both ways or one way.

As when packets are lost: nobody's connection ends, what was sent is kept, and comes late when the cut heals.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Partition:
    """Stands before `port` on this machine; `forth` is from who connects to who listens.

    Who listens sees `source` as the address of who connects.
    """

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._target = port
        self._source = source
        self._forth, self._back = asyncio.Event(), asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0
        self.heal()

    def cut(self, *, forth: bool = True, back: bool = True) -> None:
        if forth:
            self._forth.clear()
        if back:
            self._back.clear()

    def heal(self) -> None:
        self._forth.set()
        self._back.set()

    @asynccontextmanager
    async def standing(self) -> AsyncIterator["Partition"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, thither = await asyncio.open_connection(
                "127.0.0.1", self._target, local_addr=(self._source, 0)
            )
        except OSError:
            writer.close()
            return
        for pump in (self._pump(reader, thither, self._forth), self._pump(there, writer, self._back)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    @staticmethod
    async def _pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                await passes.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()
