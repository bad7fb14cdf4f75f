"""Connections of a server that is to end, or that another takes over from.

granian would end one that is idle at that moment, though its next request may be on the way, and leave WebSockets open
and silent. So those are closed with 1012, and their readers go on behind the last cursor they have seen, with whoever
answers then; each other connection is told with its next answer that it is the last (RFC 9112, 9.6).
"""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SERVICE_RESTART = 1012
GRACE_SECONDS = 5.0
"""How long a reader that does not read holds up the others' leave."""
LAST_SECONDS = 0.2
"""How long whoever asks again and again has for a last answer."""


class Unanswered:
    """The requests that nobody has begun to answer, so that each can be told when there is no more time for it."""

    def __init__(self) -> None:
        self._asking: set[asyncio.Task[Any]] = set()
        self._time_up = False

    def begin(self) -> asyncio.Task[Any]:
        """A request has come, in this task."""
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """Its answer has begun, or it is gone."""
        self._asking.discard(task)

    def give_up(self) -> int:
        """Time is up: how many are told so."""
        self._time_up = True
        for task in self._asking:
            task.cancel()
        return len(self._asking)

    def given_up(self, task: asyncio.Task[Any]) -> bool:
        """Whether that is why it was cancelled; it is not any more then, and can be told."""
        if given_up := self._time_up and task in self._asking:
            task.uncancel()
        return given_up


class Leaving:
    """`app`, whose callers can be asked to leave."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._closing = False
        self._asked = asyncio.Event()
        self._open: set[asyncio.Future[None]] = set()

    async def leave(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Return when who asks often has been told to go, no WebSocket is open any more, and none will be."""
        self._closing = True
        await asyncio.sleep(LAST_SECONDS)
        # Not before: whoever is closed comes back at once, perhaps still to this server.
        self._asked.set()
        if self._open:
            await asyncio.wait(self._open, timeout=grace_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, self._as_the_last(send))
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

    def _as_the_last(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and self._closing:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        return sent

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
