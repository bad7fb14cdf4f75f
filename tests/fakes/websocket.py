"""A small WebSocket client (RFC 6455): what comes, unmasked and whole, and the code and reason it is closed with."""

import asyncio
import base64
import json
import os
import ssl
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Denied(Exception):
    """The handshake was answered with something else than 101."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status
        self.problem: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}


class Socket:
    """One end of an open WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: str) -> None:
        self._reader, self._writer = reader, writer
        self.protocol = protocol
        self.closed: tuple[int, str] | None = None

    async def message(self) -> dict[str, Any] | None:
        """The next message, or `{"pong": …}`; None when it was closed, and `closed` says why."""
        async with asyncio.timeout(10):
            while True:
                head, length = await self._reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
                data = await self._reader.readexactly(length)
                match head & 0x0F:
                    case 8:
                        self.closed = (struct.unpack("!H", data[:2])[0], data[2:].decode())
                        with suppress(ConnectionError):  # who has closed need not wait for our word
                            await self._send(CLOSE, data[:2])
                        return None
                    case 9:
                        await self._send(PONG, data)
                    case 10:
                        return {"pong": data.decode()}
                    case _:
                        told: dict[str, Any] = json.loads(data)
                        return told

    async def rest(self) -> list[dict[str, Any]]:
        """All messages until it is closed."""
        found = []
        while (message := await self.message()) is not None:
            found.append(message)
        return found

    async def send(self, text: str) -> None:
        await self._send(TEXT, text.encode())

    async def ping(self, text: str) -> None:
        await self._send(PING, text.encode())

    async def begin(self, size: int) -> None:
        """The beginning of a message that does not end: `size` bytes of it."""
        self._writer.write(struct.pack("!BBQ4x", TEXT, 0x80 | 127, size) + bytes(size))
        await self._writer.drain()

    async def _send(self, kind: int, data: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(each ^ mask[n % 4] for n, each in enumerate(data))
        self._writer.write(bytes([0x80 | kind, 0x80 | len(data)]) + mask + masked)
        await self._writer.drain()


@asynccontextmanager
async def websocket(
    port: int,
    path: str,
    headers: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Socket]:
    """An open socket to `host`, one of loopback's; over `tls`, to `localhost`.

    Raises:
        Denied: the server would not have it.
    """
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name)
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade"}
        lines |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key, **(headers or {})}
        if protocols:
            lines["Sec-WebSocket-Protocol"] = ", ".join(protocols)
        asked = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET {path} HTTP/1.1\r\n{asked}\r\n".encode())
        answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        said = {name.lower(): value for name, _, value in (line.partition(": ") for line in answer[1:])}
        status = int(answer[0].split()[1])
        if status != 101:
            raise Denied(status, await reader.read(int(said.get("content-length", "0"))))
        yield Socket(reader, writer, said.get("sec-websocket-protocol", ""))
    finally:
        writer.close()
