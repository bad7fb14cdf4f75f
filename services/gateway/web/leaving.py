"""WebSockets of a server that another takes over from: granian would leave them open and silent.

Each is closed with 1012, and its reader goes on behind the last cursor it has seen, with whoever answers then.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SERVICE_RESTART = 1012
GRACE_SECONDS = 5.0
"""How long a reader that does not read holds up the others' leave."""


class Leaving:
    """`app`, whose WebSockets can be asked to leave. What is not a WebSocket passes through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._asked = asyncio.Event()
        self._open: set[asyncio.Future[None]] = set()

    async def leave(self) -> None:
        """Return when none is open any more, and none will be."""
        self._asked.set()
        if self._open:
            await asyncio.wait(self._open, timeout=GRACE_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        if self._asked.is_set():
            await send({"type": "websocket.http.response.start", "status": 503, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        self._open.add(over := asyncio.get_running_loop().create_future())
        try:
            await self._app(scope, self._until_asked(receive), send)
            if self._asked.is_set():
                with suppress(TimeoutError, RuntimeError):
                    async with asyncio.timeout(GRACE_SECONDS):
                        await send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": ""})
        finally:
            self._open.discard(over)
            over.set_result(None)

    def _until_asked(self, receive: Receive) -> Receive:
        connected = False

        async def received() -> Message:
            nonlocal connected
            if not connected:
                connected = True
                return await receive()
            message = asyncio.ensure_future(receive())
            asked = asyncio.ensure_future(self._asked.wait())
            try:
                await asyncio.wait({message, asked}, return_when=asyncio.FIRST_COMPLETED)
                if message.done():
                    return message.result()
                return {"type": "websocket.disconnect", "code": SERVICE_RESTART}
            finally:
                # granian closes a socket only when nobody reads from it.
                for each in (message, asked):
                    each.cancel()
                    with suppress(asyncio.CancelledError):
                        await each

        return received
