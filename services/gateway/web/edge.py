"""The outermost layer of REST: security headers on every answer, metrics, and no text of a bug to anyone."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import metrics, process, telemetry, tracing
from chassis.rpc.faults import PeerFailed
from services.gateway.web import problems
from services.gateway.web.auth import TENANT
from services.gateway.web.given import REQUEST_ID
from services.gateway.web.leaving import Unanswered

# Only what this gateway serves itself may run or be loaded; answers of the API may not be framed.
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# Nor may they be kept, save where a route says so itself: the log's tiles, which never change.
NOT_KEPT = (b"cache-control", b"no-store")
AGAIN = b"idempotency-key"
"""Says with an answer that may be another one the next time under which id the same can be asked again."""
REQUESTS = Counter("provost_http_requests", "Requests answered, by route and status.", ("route", "status"))
SECONDS = Histogram("provost_http_seconds", "How long requests took, by route.", ("route",))

MAX_THROWN_AWAY_BYTES = 256 * 1024 * 1024
PAUSE_SECONDS, THROW_SECONDS = 5.0, 10.0
"""How long a body that nobody reads may pause, and how long it may take in all."""
LEFT = 499

_log = telemetry.get_logger("gateway.web")


class Edge:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = process.monotonic()
        status = 0
        body = _Body(scope, receive)
        unanswered: Unanswered = scope["app"].state.unanswered
        task = unanswered.begin()

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                unanswered.end(task)
                await body.throw_away()
                status = message["status"]
                said = list(message.get("headers", ()))
                kept = () if any(name == NOT_KEPT[0] for name, _ in said) else (NOT_KEPT,)
                again = (
                    ((AGAIN, scope[REQUEST_ID].encode()),) if status >= 500 and REQUEST_ID in scope else ()
                )
                message["headers"] = [*said, *HEADERS, *kept, *again]
            await send(message)

        try:
            with tracing.span(
                f"{scope['method']} {scope['path']}", kind="SERVER", traceparent=_traceparent(scope)
            ):
                await self._app(scope, body.receive, answering)
        except asyncio.CancelledError:
            if not unanswered.given_up(task):
                raise
            await problems.shutting_down()(scope, receive, answering)
        except ClientDisconnect:
            status = status or LEFT  # nobody is there to be answered
        except PeerFailed as failure:
            _log.error("a peer failed", route=_route(scope), code=failure.code.name)
            if not status:
                await problems.peer_failed()(scope, receive, answering)
        except Exception:  # noqa: BLE001 - whatever it is, no text of it may reach the caller
            trouble = process.new_id()
            _log.error("request failed", route=_route(scope), trouble=trouble, exc_info=True)
            if not status:
                await problems.internal(trouble)(scope, receive, answering)
        finally:
            unanswered.end(task)
            route = _route(scope)
            REQUESTS.labels(route, str(status)).inc()
            SECONDS.labels(route).observe(process.monotonic() - started)
            if TENANT in scope:
                metrics.TENANT_REQUESTS.labels(scope[TENANT], _outcome(status)).inc()


def _outcome(status: int) -> str:
    if status in {0, LEFT}:
        return "cancelled"
    return "ok" if status < 400 else "refused" if status < 500 else "failed"


def _traceparent(scope: Scope) -> str:
    """What the caller says of its trace; what cannot be read begins a new one."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return str(value.decode("ascii", "replace"))
    return ""


class _Body:
    """The request's body as it is read."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        declared = int(headers.get(b"content-length", b"0"))
        chunked = b"transfer-encoding" in headers
        self._ended = declared == 0 and not chunked
        # A client that asks first, or has very much to send, is answered at once.
        self._left = 0 if b"expect" in headers or declared > MAX_THROWN_AWAY_BYTES else MAX_THROWN_AWAY_BYTES
        self._receive = receive

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = not message.get("more_body", False)
        return message

    async def throw_away(self) -> None:
        """Read what is still on its way into nothing, before an answer that did not wait for it.

        The server closes such a connection, and a client that is still sending would be cut off before it reads why.
        One that pauses, or comes by drops, is answered at once.
        """
        try:
            async with asyncio.timeout(THROW_SECONDS):
                while self._left > 0 and not self._ended:
                    async with asyncio.timeout(PAUSE_SECONDS):
                        self._left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            self._ended = True


def _route(scope: MutableMapping[str, Any]) -> str:
    """Method and path as they stand in the table: never the caller's own text."""
    path = getattr(scope.get("route"), "path", "unknown")
    return f"{scope['method']} {path}" if path != "unknown" else path
