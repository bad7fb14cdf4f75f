"""The witness over HTTP: C2SP tlog-witness, and what it remembers for whoever asks.

    POST /add-checkpoint   a head to be signed; the specification says what is sent and answered
    GET  /heads            the last head signed of each log, and heads that were refused though their log signed them
    GET  /healthz          `ok`

No caller is known here: a head counts by the signatures it bears.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from chassis import telemetry
from provost_sdk.note import Key
from services.ledger.witness import domain
from services.ledger.witness.domain import Refusal, Request
from services.ledger.witness.key import WitnessKey
from services.ledger.witness.rate import Rate
from services.ledger.witness.store import Kept, Store, StoreTrouble
from services.ledger.witness.trust import Trusted

BODY_SECONDS = 10.0
STATUS = {
    Refusal.UNKNOWN_LOG: 404,
    Refusal.UNSIGNED: 403,
    Refusal.OTHER_SIZE: 409,
    Refusal.OTHER_ROOT: 409,
    Refusal.INCONSISTENT: 422,
}
SIZE = "text/x.tlog.size"
_TEXT = "text/plain; charset=utf-8"
_log = telemetry.get_logger("witness")

T = TypeVar("T")
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Answer = tuple[int, str, str]
"""Status, content type, body."""


class TooLarge(Exception):
    pass


class Web:
    """The ASGI application. `now` and `monotonic` are the process's clocks."""

    def __init__(
        self,
        key: WitnessKey,
        trusted: Trusted,
        store: Store,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._key = key
        self._trusted = trusted
        self._store = store
        self._now = now
        self._monotonic = monotonic
        self._rate = Rate()
        self._alone = ThreadPoolExecutor(1, "witness")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", scope["type"]
        status, kind, body = await self._answer(scope, receive)
        headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
        if status == 429:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Answer:
        caller = (scope.get("client") or ("",))[0]
        if not self._rate.allows(caller, self._monotonic()):
            return 429, _TEXT, "too many requests: ask again in a second\n"
        try:
            match scope["method"], scope["path"]:
                case "POST", "/add-checkpoint":
                    return await self._add(domain.read_request(await _body(receive)))
                case "GET" | "HEAD", "/healthz":
                    return 200, _TEXT, "ok\n"
                case "GET" | "HEAD", "/heads":
                    return await self._show()
                case _, "/add-checkpoint" | "/healthz" | "/heads":
                    return 405, _TEXT, "POST /add-checkpoint, GET /heads, GET /healthz\n"
                case _:
                    return 404, _TEXT, "nothing is here; a witness answers POST /add-checkpoint\n"
        except domain.Malformed as problem:
            return 400, _TEXT, f"{problem}\n"
        except TooLarge:
            return 413, _TEXT, f"a request has at most {domain.MAX_REQUEST_BYTES} bytes\n"
        except TimeoutError:
            return 408, _TEXT, f"the request did not come within {BODY_SECONDS:g} seconds\n"
        except StoreTrouble as problem:
            _log.error("nothing can be signed", why=str(problem))
            return 503, _TEXT, "what was signed cannot be kept now, so nothing is signed\n"

    async def _add(self, request: Request) -> Answer:
        trusted, at = self._trusted.of(request.head.origin), int(self._now().timestamp())
        refusal, size = await self._on_its_own(lambda: self._judge(request, trusted, at))
        if refusal is None:
            return 200, _TEXT, self._key.cosign(request.text, at)
        if refusal.worth_keeping:
            head = request.head
            shown = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "old": request.old}
            tell = _log.critical if refusal is Refusal.OTHER_ROOT else _log.error
            tell("head not signed", **shown, why=refusal.value)
        if STATUS[refusal] == 409:
            return 409, SIZE, f"{size}\n"
        return STATUS[refusal], _TEXT, f"{refusal.value}\n"

    def _judge(self, request: Request, trusted: Sequence[Key], at: int) -> tuple[Refusal | None, int]:
        """Why not, and the size that was last signed; if nothing speaks against it, the head is remembered."""
        last = self._store.last(request.head.origin)
        refusal = domain.refusal_of(request, trusted, last)
        if refusal is None and request.head != last:
            self._store.remember(request.head, request.note, at)
        elif refusal is not None and refusal.worth_keeping:
            self._store.accuse(request.head, request.note, refusal.value, at)
        return refusal, 0 if last is None else last.size

    async def _show(self) -> Answer:
        heads, refused = await self._on_its_own(lambda: (self._store.heads(), self._store.refused()))
        shown = {"key": self._key.text, "heads": _rows(heads), "refused": _rows(refused)}
        return 200, "application/json", json.dumps(shown, indent=2) + "\n"

    async def _on_its_own(self, call: Callable[[], T]) -> T:
        """Looking at the last head and remembering the next is one step, whatever becomes of the one who asked."""
        return await asyncio.get_running_loop().run_in_executor(self._alone, call)


def _rows(kept: Iterable[Kept]) -> list[dict[str, object]]:
    return [
        {
            "origin": each.head.origin,
            "size": each.head.size,
            "root": each.head.root.hex(),
            "at": each.at,
            "checkpoint": each.note,
            **({"why": each.why} if each.why else {}),
        }
        for each in kept
    ]


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    async with asyncio.timeout(BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise domain.Malformed("the request ended early")
            body += message.get("body", b"")
            if len(body) > domain.MAX_REQUEST_BYTES:
                raise TooLarge
            if not message.get("more_body", False):
                return bytes(body)
