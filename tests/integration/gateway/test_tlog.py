"""Entry bundles through the real gateway: of any size in little memory, and never whole when they are not."""

import asyncio

import httpx2
import pytest

from tests.fakes.doors import ADMIN
from tests.integration.gateway.conftest import Door

BUNDLE_BYTES = 64 * 256 * 1024
AS_ADMIN = {"X-API-Key": ADMIN}


async def test_the_largest_bundle_passes_through_in_little_memory(door: Door) -> None:
    first = await door.rest.get("/tlog/tile/entries/000.p/1", headers=AS_ADMIN)
    assert (first.status_code, len(first.content)) == (200, BUNDLE_BYTES)
    assert first.content[:: 256 * 1024] == bytes(range(64))
    door.process.forget_peak()
    before = door.process.peak_memory_mib()

    async def read_slowly() -> None:
        async with door.rest.stream("GET", "/tlog/tile/entries/000", headers=AS_ADMIN) as answer:
            n_bytes = 0
            async for piece in answer.aiter_raw():
                n_bytes += len(piece)
                await asyncio.sleep(0)
            assert n_bytes == BUNDLE_BYTES

    await asyncio.gather(*(read_slowly() for _ in range(8)))
    assert door.process.peak_memory_mib() - before < 40  # eight bundles are 128 MiB


async def test_a_bundle_that_breaks_off_is_seen_to_be_no_whole_one(door: Door) -> None:
    door.peers.ledger.pieces = 5
    with pytest.raises(httpx2.RemoteProtocolError):
        await door.rest.get("/tlog/tile/entries/000", headers=AS_ADMIN)
    door.peers.ledger.pieces = 0
    answer = await door.rest.get("/tlog/tile/entries/000", headers=AS_ADMIN)
    assert (answer.status_code, answer.json()["reason"]) == (503, "LEDGER_BEHIND")
    assert answer.headers["cache-control"] == "no-store"


async def test_a_malformed_path_is_a_problem_document(door: Door) -> None:
    for path in (
        "64/000",
        "0/67",
        "0/x000/067",
        "0/067.p/256",
        "entries/%2e%2e/067",
        "0/067%00",
        "0/06%D9%A7",
    ):
        answer = await door.rest.get(f"/tlog/tile/{path}", headers=AS_ADMIN)
        assert (answer.status_code, answer.json()["reason"]) == (400, "FIELD_INVALID"), path
