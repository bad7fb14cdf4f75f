"""Request bodies: counted while they arrive, never more of them in memory than the limits here allow."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator

from fastapi import HTTPException, Request

from services.gateway.domain.faults import InvalidFields, LogTooLarge
from services.gateway.handlers.places import LargePlaces

MIB = 1024 * 1024
MAX_LOG_BYTES = 32 * MIB
# JSON around a log, and its escapes: a log that does not fit so can be sent raw.
MAX_BODY_BYTES = MAX_LOG_BYTES + 64 * 1024
SMALL_BODY_BYTES = 1 * MIB
BODY_SECONDS = 60.0

MAX_STRUCTURE_BYTES = 1 * MIB
"""What may be in a large body besides its strings: parsed, it takes some 25 times its size."""

# A string that does not end goes to the end: whatever the body is, it is looked at once.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
# Surrogates that JSON escapes can make, and no bytes of the body were: each is one byte that is not UTF-8.
_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Bodies:
    """Reads bodies; those beyond 1 MiB take one of a few places until they are done with."""

    def __init__(self, large: LargePlaces) -> None:
        self._large = large

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
                        await self._large.take()
                        held.callback(self._large.release)
                        placed = True
                    chunks.append(chunk)
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
        return b"".join(chunks)


def parse_json(body: bytes) -> object:
    """The JSON value in `body`. Bytes that are not UTF-8 come back as surrogates, so that `to_bytes` restores them.

    Raises:
        InvalidFields: not JSON, nested too deeply, or too much of it is no string.
    """
    if not body.strip():
        raise _malformed('is empty: send a JSON object, as {"log": "…"}')
    if len(body) > SMALL_BODY_BYTES and not _mostly_strings(body):
        raise _malformed(
            "has more than 1 MiB besides its strings: send the log as one string, or raw as text/plain"
        )
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"), parse_constant=_no_constant)
    except RecursionError:
        raise _malformed("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise _malformed(f"is not JSON: {error}"[:200]) from None


def _mostly_strings(body: bytes) -> bool:
    left, seen = MAX_STRUCTURE_BYTES, 0
    for found in _STRING.finditer(body):
        left -= found.start() - seen + 2  # the quotes: a string of nothing is a value, too
        seen = found.end()
        if left < 0:
            return False
    return left >= len(body) - seen


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
