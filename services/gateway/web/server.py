"""REST on a port: granian inside this process's own loop, so that one process serves HTTP and gRPC alike."""

import asyncio
import socket
from pathlib import Path

from fastapi import FastAPI
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server

from chassis import telemetry
from services.gateway.web.streams import Streams

_log = telemetry.get_logger("gateway.web")


class HttpPortTaken(Exception):
    """The port cannot be listened on; the text names it and the setting that changes it."""


class HttpServer:
    """Serves `app`. Requests under way when it stops are finished, for at most `grace_seconds`.

    `shown` is certificate and key: with them it speaks HTTPS alone. They are read once.
    """

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        grace_seconds: float,
        shown: tuple[Path, Path] | None = None,
    ) -> None:
        self.port = port
        self._app = app
        self._host = host
        self._grace_seconds = grace_seconds
        self._server = Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,
            websockets=True,
            log_enabled=False,
            backlog=1024,
            ssl_cert=shown and shown[0],
            ssl_key=shown and shown[1],
            ssl_protocol_min=SSLProtocols.tls12,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            HttpPortTaken: somebody else listens there.
        """
        self._require_free_port()
        self._serving = asyncio.create_task(self._server.serve(), name="http")
        while not await self._accepts():
            if self._serving.done():
                await self._serving
                raise RuntimeError("the HTTP server ended as it began")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._serving is None:
            return
        streams: Streams = self._app.state.streams
        streams.end()
        if streams.sockets:
            await asyncio.wait(streams.sockets, timeout=self._grace_seconds)
        self._server.stop()  # type: ignore[no-untyped-call]
        done, _ = await asyncio.wait({self._serving}, timeout=self._grace_seconds)
        if not done:
            _log.warning("requests were cut off", after_seconds=self._grace_seconds)
            self._serving.cancel()
            await asyncio.wait({self._serving})

    def _require_free_port(self) -> None:
        # granian ends the whole process when it cannot bind: ask first.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._host, self.port))
            except OSError as error:
                raise HttpPortTaken(
                    f"port {self.port} on {self._host} cannot be listened on ({error.strerror}); "
                    "end what uses it or set PROVOST_HTTP_PORT to another"
                ) from error

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._host, self.port)
        except OSError:
            return False
        writer.close()
        return True
