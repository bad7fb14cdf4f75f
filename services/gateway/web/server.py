"""REST on a port: granian inside this process's own loop, so that one process serves HTTP and gRPC alike.

granian reads a certificate as it begins and never again. So there is a new one of it for each renewed certificate, on
the same socket; the one before takes no more connections, and serves those it has to the end of what they asked for.
Whoever connects at that very moment may be cut off before it is heard: handshakes that are not finished are dropped.
"""

import asyncio
import ctypes
import os
import socket
import ssl
import struct
import sys
import tempfile
from pathlib import Path

from fastapi import FastAPI
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from chassis import telemetry
from chassis.process import monotonic
from chassis.tls.certificates import Certificates, Material
from services.gateway.web.leaving import Leaving, Unanswered
from services.gateway.web.room import HEAD_BYTES, HEAD_SECONDS, connections
from services.gateway.web.streams import Streams

BACKLOG = 1024
LOOK_SECONDS = 1.0
"""How often the certificate is looked at."""
TELLING_SECONDS = 0.5
"""How long before the end who waits for an answer is told that none comes."""
SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>; Python does not name it
_NO_NEW_ONES = (  # as in <linux/filter.h>: what to do, to skip if so, if not, and with what
    (0x30, 0, 0, 13),  # load the byte with TCP's flags
    (0x54, 0, 0, 0x12),  # SYN and ACK of them
    (0x15, 0, 1, 0x02),  # SYN alone: a new connection
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # keep all else: handshakes that are under way come to their end
)
_log = telemetry.get_logger("gateway.web")


class HttpPortTaken(Exception):
    """The port cannot be listened on; the text names it and the setting that changes it."""


class HttpRefused(Exception):
    """granian did not begin; the text says why, where it is known."""


class HttpServer:
    """Serves `app`. Requests under way when it stops are finished, for at most `grace_seconds`.

    Where there are certificates to be `shown` it speaks HTTPS alone, and takes renewed ones as it runs.
    """

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        grace_seconds: float,
        shown: Certificates | None = None,
    ) -> None:
        self.port = port
        self._app = app
        self._host = host
        self._grace_seconds = grace_seconds
        self._shown = shown
        self._listening: socket.socket | None = None
        self._serving: dict[asyncio.Task[None], _Granian] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            HttpPortTaken: somebody else listens there.
            CertificateTrouble: there is no certificate to show.
            HttpRefused: it cannot be used.
        """
        material = None if self._shown is None else self._shown.current()
        self._listening = self._bound()
        await self._begin(material)
        if self._shown is not None and material is not None:
            self._renewing = asyncio.create_task(self._renew(self._shown, material), name="http certificate")

    async def stop(self) -> None:
        if self._listening is None:
            return
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
        until = monotonic() + self._grace_seconds
        streams: Streams = self._app.state.streams
        streams.end()
        if streams.sockets:
            await asyncio.wait(streams.sockets, timeout=self._grace_seconds / 2)
        unheard(self._listening)
        await asyncio.gather(*(server.callers.leave(0) for server in self._serving.values()))
        self._listening.close()
        serving = set(self._serving)
        if not serving:  # it ended by itself
            return
        for server in self._serving.values():
            server.stop()  # type: ignore[no-untyped-call]
        _, pending = await asyncio.wait(serving, timeout=max(0.0, until - monotonic() - TELLING_SECONDS))
        if pending:
            unanswered: Unanswered = self._app.state.unanswered
            _log.warning("requests are given up", requests=unanswered.give_up())
            _, pending = await asyncio.wait(serving, timeout=TELLING_SECONDS)
        if pending:
            _log.warning("requests were cut off", after_seconds=self._grace_seconds)
            for each in pending:
                each.cancel()
            await asyncio.wait(pending)

    async def _renew(self, shown: Certificates, material: Material) -> None:
        told: Material | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if (fresh := shown.current()) is material:
                continue
            before = dict(self._serving)
            try:
                await self._begin(fresh)
            except (HttpRefused, OSError) as problem:
                # It may pass (a full disk, no file descriptor left): tried at each look, told once.
                if fresh is not told:
                    _log.error("certificate", problem=f"{problem}; the one read before stays in use")
                told = fresh
                continue
            material = fresh
            for serving, server in before.items():
                await server.callers.leave()
                if not serving.done():
                    server.stop()  # type: ignore[no-untyped-call]

    async def _begin(self, material: Material | None) -> None:
        assert self._listening is not None
        with tempfile.TemporaryDirectory() as directory:
            try:
                server = _Granian(self._app, self._listening, _files(material, Path(directory)))
            except ssl.SSLError as error:
                raise HttpRefused(f"the certificate cannot be used ({error})") from error
            serving = asyncio.create_task(server.serve(), name="http")
            self._serving[serving] = server
            serving.add_done_callback(self._serving.pop)
            while not server.wrks and not serving.done():  # noqa: ASYNC110 - it has no event for that
                await asyncio.sleep(0)
            # The files are read in the first step of its worker, which comes in the next turn of the loop.
            for _ in range(2):
                await asyncio.sleep(0)
        if not server.wrks or not server.wrks[0].is_alive():  # type: ignore[no-untyped-call]
            await asyncio.wait({serving})
            raise HttpRefused(f"the HTTP server ended as it began ({serving.exception()})")

    def _bound(self) -> socket.socket:
        v6 = ":" in self._host
        try:
            listening = socket.create_server(
                (self._host, self.port),
                family=socket.AF_INET6 if v6 else socket.AF_INET,
                backlog=BACKLOG,
                dualstack_ipv6=v6 and socket.has_dualstack_ipv6(),
            )
        except OSError as error:
            raise HttpPortTaken(
                f"port {self.port} on {self._host} cannot be listened on ({error.strerror}); "
                "end what uses it or set PROVOST_HTTP_PORT to another"
            ) from error
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listening.getsockname()[1]
        return listening


def unheard(listening: socket.socket) -> None:
    """Let nobody new in, and nobody know it: who asks to be connected is not heard, and asks again a second later.

    granian resets those that it was given and has not heard yet when it ends. Linux alone can do without (socket(7),
    SO_ATTACH_FILTER); elsewhere they are reset.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in _NO_NEW_ONES))
    try:
        listening.setsockopt(
            socket.SOL_SOCKET,
            SO_ATTACH_FILTER,
            struct.pack("@HP", len(_NO_NEW_ONES), ctypes.addressof(program)),
        )
    except OSError as problem:  # a kernel without it: those who connect at this moment ask again
        _log.warning("new connections may be reset", problem=str(problem))


class _Granian(Server):
    """Serves on a socket that is `listening` already and stays so when this one ends."""

    def __init__(self, app: FastAPI, listening: socket.socket, files: tuple[Path, Path] | None) -> None:
        self.callers = Leaving(app)
        super().__init__(
            self.callers,
            interface=Interfaces.ASGINL,
            # HTTP/2 it would let be silent for as long as it likes, and any connection that does not say which it is.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(1000 * HEAD_SECONDS), max_buffer_size=HEAD_BYTES
            ),
            backlog=BACKLOG,
            backpressure=connections(),
            websockets=True,
            log_enabled=False,
            ssl_cert=files and files[0],
            ssl_key=files and files[1],
            ssl_protocol_min=SSLProtocols.tls12,
        )
        self._listening = listening

    def _init_shared_socket(self) -> None:
        # What it is given it closes.
        given = os.dup(self._listening.fileno())
        self._shd = SocketHolder(given, False, BACKLOG)  # type: ignore[call-arg, assignment]  # not in the stubs


def _files(material: Material | None, directory: Path) -> tuple[Path, Path] | None:
    """The reading as files, which belong together: those it was read from may be renewed at this moment."""
    if material is None:
        return None
    certificate, key = directory / "tls.crt", directory / "tls.key"
    certificate.write_bytes(material.certificate)
    key.touch(mode=0o600)
    key.write_bytes(material.key)
    return certificate, key
