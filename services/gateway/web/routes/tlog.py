"""The log itself, at the paths of C2SP tlog-tiles, as other people's tools read it.

What a tile holds never changes, so that these answers, and no others, may be kept: by whoever asked, and by caches in
between only where the log is open to everyone.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Response
from fastapi.responses import StreamingResponse

from services.gateway.domain.tlog import tile_of
from services.gateway.handlers import Gateway
from services.gateway.web.auth import Doors, Who

OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


async def checkpoint(gateway: Doors, caller: Who) -> Response:
    """The newest signed tree head (C2SP tlog-checkpoint)."""
    head = await gateway.ledger.tree_head(caller)
    return Response(head.checkpoint, media_type=TEXT, headers={"Cache-Control": _kept(gateway, "no-cache")})


async def tile(gateway: Doors, caller: Who, level: str, place: str) -> Response:
    """A tile of the Merkle tree (C2SP tlog-tiles): up to 256 hashes."""
    wanted = tile_of(level, place)
    hashes = await gateway.ledger.tile(wanted.level, wanted.index, wanted.width, caller)
    return Response(hashes, media_type=OCTETS, headers={"Cache-Control": _for_ever(gateway)})


async def entries(gateway: Doors, caller: Who, place: str) -> Response:
    """An entry bundle (C2SP tlog-tiles): up to 256 leaves, each behind its length as a big-endian uint16."""
    wanted = tile_of("0", place)
    pieces = gateway.ledger.entries(wanted.index, wanted.width, caller)
    # Before anything is said: what is refused is refused with its own status.
    first = await anext(pieces)
    return StreamingResponse(
        _all(first, pieces), media_type=OCTETS, headers={"Cache-Control": _for_ever(gateway)}
    )


async def _all(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _for_ever(gateway: Gateway) -> str:
    return _kept(gateway, "max-age=31536000, immutable")


def _kept(gateway: Gateway, how: str) -> str:
    return f"{'public' if gateway.public_log else 'private'}, {how}"
