"""Live events over a WebSocket (RFC 6455): a watch of the ledger as JSON texts, ended when the server is.

    {"event": {…}, "cursor": "…"}      an event, as `GET /api/events` shows it
    {"cursor": "…"}                    a sign of life: nothing was missed up to here
    {"problem": {…}, "cursor": "…"}    why it ends; the close code is 4000 and the problem's status

Whoever comes back with `?after=` and the last cursor it has seen misses nothing and sees nothing twice. A browser
cannot set headers here: it may show its key as the subprotocol `provost.key.<base64url of it>`, beside
`provost.events.v1`. Nothing is queued for a reader: the watch is read as fast as the socket takes it.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from pydantic import TypeAdapter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from chassis import metrics, process, telemetry
from kernel.faults import Fault, Unavailable
from services.gateway.domain.callers import Caller
from services.gateway.domain.faults import InvalidFields, PageRefused, TooManyWatches
from services.gateway.domain.history import Watched, WatchFrom
from services.gateway.domain.records import Event, EventFilter
from services.gateway.domain.rights import REST
from services.gateway.handlers import Gateway
from services.gateway.web import problems, room, unasked
from services.gateway.web.auth import knock_of, parts_of
from services.gateway.web.streams import Streams, resumed

PATH = "/api/events/ws"
PROTOCOL, KEY_PROTOCOL = "provost.events.v1", "provost.key."
READ_SECONDS = 30.0
"""How long one message may wait for its reader."""
MAX_PARAMETER = 1000
GONE, UNASKED, TROUBLE, SERVICE_RESTART, TOO_SLOW = 1001, 1003, 1011, 1012, 4408
_FILTERS = (
    "context", "aggregate", "aggregate_id", "event_type", "correlation_id", "actor", "agent_id", "run_id", "task_id",
    "action", "decision",
)  # fmt: skip
_PARAMETERS = frozenset({*_FILTERS, "from_start", "after", "cursor", "api_key"})
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_log = telemetry.get_logger("gateway.web")


async def watch_events(socket: WebSocket) -> None:
    """One socket from its handshake to its end. Whoever is not let in is answered over HTTP, and has no socket."""
    try:
        caller = await _admitted(socket)
    except Fault as fault:
        await socket.send_denial_response(await problems.on_fault(socket, fault))
        return
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)
    streams: Streams = socket.app.state.streams
    streams.sockets.add(attending := asyncio.ensure_future(_attend(socket, caller)))
    attending.add_done_callback(streams.sockets.discard)
    await attending


async def _attend(socket: WebSocket, caller: Caller) -> None:
    flooding = asyncio.create_task(unasked.too_much(socket.scope))
    reading = asyncio.create_task(socket.receive())
    telling = asyncio.create_task(_tell(socket, caller))
    try:
        await asyncio.wait({flooding, reading, telling}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # granian closes a socket only when nobody reads from it.
        for each in (flooding, reading, telling):
            await _ended(each)
    if not telling.cancelled():
        await _close(socket, *telling.result())
    elif reading.cancelled() or reading.result()["type"] == "websocket.receive":
        await _close(socket, UNASKED, "this socket tells, and takes nothing")


async def _ended(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _admitted(socket: WebSocket) -> Caller:
    gateway: Gateway = socket.app.state.gateway
    keys = [each for each in socket.scope.get("subprotocols", ()) if each.startswith(KEY_PROTOCOL)]
    row = f"GET {PATH}"
    caller = await gateway.admit(knock_of(socket, row, _unwrapped(keys[0]) if keys else ""), REST[row])
    # No answer of ours is kept from a page of another site, as it would be over HTTP.
    origin, ours = socket.headers.get("origin"), parts_of(socket.app.state.about.websocket_url).netloc
    if origin is not None and parts_of(origin).netloc not in {
        socket.headers.get("host") or None,
        ours or None,
    }:
        refused = PageRefused()
        gateway.turned_away(caller, refused.reason, knock_of(socket, row))
        raise refused
    metrics.TENANT_REQUESTS.labels(gateway.tenant_shown(caller), "ok").inc()
    return caller


def _unwrapped(protocol: str) -> str:
    text = protocol.removeprefix(KEY_PROTOCOL)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return text  # nobody's key


async def _tell(socket: WebSocket, caller: Caller) -> tuple[int, str]:
    """Send what is watched until it ends, then say why; what to close with."""
    streams: Streams = socket.app.state.streams
    cursor, code = "", SERVICE_RESTART
    try:
        streams.require_room(caller)
        if len(streams.sockets) > room.sockets():
            raise TooManyWatches(room.sockets(), "this gateway has, over WebSockets,")
        wanted, begin, seen = _asked(socket)
        cursor = begin.cursor
        gateway: Gateway = socket.app.state.gateway
        told = as_messages(gateway.ledger.watch(wanted, begin, caller), seen)
        async with aclosing(streams.until_ended(told, caller)) as messages:
            async for message in messages:
                cursor = str(message["cursor"])
                async with asyncio.timeout(READ_SECONDS):
                    await socket.send_text(json.dumps(message))
        text = "the gateway is about to end" if streams.ended else "the watch ended"
        reason = "SHUTTING_DOWN" if streams.ended else "PEER_UNREACHABLE"
        problem = problems.problem_of(Unavailable(reason, f"{text}: come back with the cursor"))
    except Fault as fault:
        problem = problems.problem_of(fault)
        code = 4000 + problem.status
        cursor = fault.facts.get("cursor", cursor)
    except TimeoutError:
        # What it has not read stands before this in the same pipe: it may still come to it.
        return TOO_SLOW, f"nothing was read for {READ_SECONDS:g} s: go on behind the last cursor"
    except (WebSocketDisconnect, RuntimeError):
        return GONE, ""  # it went away in the middle
    except Exception:  # noqa: BLE001 - whatever it is, no text of it may reach the caller
        trouble = process.new_id()
        _log.error("socket failed", trouble=trouble, exc_info=True)
        return TROUBLE, f"something went wrong in here: {trouble}"
    with suppress(TimeoutError, RuntimeError):
        async with asyncio.timeout(READ_SECONDS):
            await socket.send_text(json.dumps({"problem": problem.model_dump(mode="json"), "cursor": cursor}))
    return code, problem.reason


async def as_messages(
    watched: AsyncGenerator[Watched, None], seen: int
) -> AsyncGenerator[dict[str, object], None]:
    """A watch as messages; what is seen up to the sequence `seen` is left out."""
    before = ""
    async with aclosing(watched):
        async for each in watched:
            for event in each.events:
                if event.sequence > seen:
                    yield {
                        "event": _EVENT.dump_python(event, mode="json"),
                        "cursor": f"{before}.{event.sequence}",
                    }
            yield {"cursor": each.cursor}
            before = each.cursor


def _asked(socket: WebSocket) -> tuple[EventFilter, WatchFrom, int]:
    """What the query asks for, held to what HTTP's would be."""
    given = socket.query_params
    wrong = [(name[:100], "is no parameter of this") for name in given.keys() - _PARAMETERS]
    wrong += [(name, "is too long") for name, value in given.items() if len(value) > MAX_PARAMETER]
    from_start = given.get("from_start", "false")
    if from_start not in ("true", "false"):
        wrong.append(("from_start", "is true or false"))
    if wrong:
        raise InvalidFields("FIELD_INVALID", tuple(sorted(wrong)))
    behind, seen = resumed(given.get("after") or given.get("cursor", ""))
    filters: dict[str, Any] = {name: given[name] for name in _FILTERS if name in given}
    return EventFilter(**filters), WatchFrom(behind, from_start == "true"), seen


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.application_state is not WebSocketState.DISCONNECTED:
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(READ_SECONDS):
                await socket.close(code, reason[:120])
