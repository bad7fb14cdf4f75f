"""Request bodies: counted while they arrive, never more of them in memory than the limits here allow."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator

from fastapi import HTTPException, Request

from kernel.faults import Unavailable
from services.gateway.domain.faults import InvalidFields, LogTooLarge

MIB = 1024 * 1024
MAX_LOG_BYTES = 32 * MIB
# JSON around a log, and its escapes: a log that does not fit so can be sent raw.
MAX_BODY_BYTES = MAX_LOG_BYTES + 64 * 1024
SMALL_BODY_BYTES = 1 * MIB
BODY_SECONDS = 60.0
LARGE_AT_ONCE = 2
QUEUE_SECONDS = 10.0

# Surrogates that JSON escapes can make, and no bytes of the body were: each is one byte that is not UTF-8.
_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Bodies:
    """Reads bodies; those beyond 1 MiB take one of a few places until they are done with."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(LARGE_AT_ONCE)

    @contextlib.asynccontextmanager
    async def read(self, request: Request, limit_bytes: int = SMALL_BODY_BYTES) -> AsyncIterator[bytes]:
        """The whole body.

        Raises:
            LogTooLarge: more than `limit_bytes`; by its declared length before any of it is read, else while it is.
            Unavailable: too many large ones at the moment.
        """
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "send the body as it is, without Content-Encoding")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit_bytes:
            raise LogTooLarge(limit_bytes)
        held = contextlib.ExitStack()
        try:
            yield await self._read(request, limit_bytes, held)
        finally:
            held.close()

    async def _read(self, request: Request, limit_bytes: int, held: contextlib.ExitStack) -> bytes:
        chunks: list[bytes] = []
        total, placed = 0, False
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    total += len(chunk)
                    if total > limit_bytes:
                        chunks.clear()  # the fault's traceback would hold on to them while the rest is thrown away
                        raise LogTooLarge(limit_bytes)
                    if total > SMALL_BODY_BYTES and not placed:
                        await self._place()
                        held.callback(self._places.release)
                        placed = True
                    chunks.append(chunk)
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
        return b"".join(chunks)

    async def _place(self) -> None:
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("GATEWAY_BUSY", "busy with other large logs; try again") from None


def parse_json(body: bytes) -> object:
    """The JSON value in `body`. Bytes that are not UTF-8 come back as surrogates, so that `to_bytes` restores them.

    Raises:
        InvalidFields: not JSON, or nested too deeply.
    """
    if not body.strip():
        raise _malformed('is empty: send a JSON object, as {"log": "…"}')
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"), parse_constant=_no_constant)
    except RecursionError:
        raise _malformed("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise _malformed(f"is not JSON: {error}"[:200]) from None


def to_bytes(text: str) -> bytes:
    """`text` as the bytes it came from."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _LONE.sub("\udcff", text).encode("utf-8", "surrogateescape")


def _malformed(problem: str) -> InvalidFields:
    return InvalidFields("MALFORMED_MESSAGE", (("body", problem),))


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")
