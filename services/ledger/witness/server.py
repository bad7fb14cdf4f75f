"""HTTP on a port: granian inside this process's own loop."""

import asyncio
import socket

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from services.ledger.witness.web import Web


class WitnessPortTaken(Exception):
    """The port cannot be listened on; the text names it and the setting that changes it."""


class HttpServer:
    """Serves `web` at `host` and `port`."""

    def __init__(self, web: Web, host: str, port: int, grace_seconds: float) -> None:
        self._host, self._port, self._grace_seconds = host, port, grace_seconds
        # One request on a connection at a time, and few waiting: whoever asks here asks once a second.
        self._server = Server(
            web,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
            backlog=128,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises WitnessPortTaken: somebody else listens there."""
        with socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET) as probe:
            # granian ends the whole process when it cannot bind: ask first.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._host, self._port))
            except OSError as error:
                raise WitnessPortTaken(
                    f"port {self._port} on {self._host} cannot be listened on ({error.strerror}); "
                    "end what uses it or set PROVOST_WITNESS_PORT to another"
                ) from error
        self._serving = asyncio.create_task(self._server.serve(), name="http")
        while not await self._accepts():
            if self._serving.done():
                await self._serving
                raise RuntimeError("the HTTP server ended as it began")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Finish what is under way, for as long as a stop may take."""
        assert self._serving is not None, "not started"
        self._server.stop()  # type: ignore[no-untyped-call]
        done, _ = await asyncio.wait({self._serving}, timeout=self._grace_seconds)
        if not done:
            self._serving.cancel()
            await asyncio.wait({self._serving})

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            return False
        writer.close()
        return True
