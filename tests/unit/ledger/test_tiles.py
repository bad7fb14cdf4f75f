"""Tiles and entry bundles: the published example, every tile of small trees, and what no tree has."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.faults import Invalid
from services.ledger.domain import tiles
from services.ledger.domain.entry import entry_of
from services.ledger.domain.faults import (
    LeafOutOfRange,
    LedgerBehind,
    LedgerDiverged,
    NotCovered,
    TileUnknown,
)
from services.ledger.domain.proofs import Range, Slice
from services.ledger.domain.tiles import Place
from tests.unit.ledger.fakes import Bench, ListedLog
from tests.unit.ledger.story import BEGIN, plain, plains
from tests.unit.ledger.test_tree import mth

COUNT = 600


def there(level: int, index: int, size: int) -> int:
    """How many hashes a tile has, counted as c2sp.org/tlog-tiles defines them."""
    return sum((index * 256 + n + 1) * 256**level <= size for n in range(256))


def test_the_example_of_the_specification() -> None:
    """A tree of 70,000: 273 full tiles and one of 112 on level 0; one full and one of 17 on level 1; one of 1 on 2."""
    widths = {
        (0, 272): 256,
        (0, 273): 112,
        (0, 274): 0,
        (1, 0): 256,
        (1, 1): 17,
        (1, 2): 0,
        (2, 0): 1,
        (3, 0): 0,
    }
    for (level, index), width in widths.items():
        assert there(level, index, 70_000) == width
        for asked in range(256):
            place = tiles.place_of(level, index, asked)
            if (asked or 256) <= width:
                assert tiles.hashes_of(place, 70_000) == Slice(level, index * 256, asked or 256)
            else:
                with pytest.raises(TileUnknown):
                    tiles.hashes_of(place, 70_000)
    assert tiles.hashes_of(Place(1, 0, 1), 256) == Slice(1, 0, 1)
    assert tiles.leaves_of(Place(0, 273, 112), 70_000) == Range(69_888, 70_000)


@given(level=st.integers(0, 3), index=st.integers(0, 300), size=st.integers(0, 2**24 + 70_000))
def test_what_a_tree_has_is_what_the_definition_says(level: int, index: int, size: int) -> None:
    width = there(level, index, size)
    if width:
        tiles.hashes_of(Place(level, index, width), size)
    if width < 256:
        with pytest.raises(TileUnknown):
            tiles.hashes_of(Place(level, index, width + 1), size)


@pytest.mark.parametrize(
    ("level", "index", "width", "field"),
    [
        (64, 0, 0, "level"),
        (-1, 0, 0, "level"),
        (0, -1, 0, "index"),
        (0, 2**63, 0, "index"),
        (0, 0, 256, "width"),
    ],
)
def test_what_no_tree_has_is_named(level: int, index: int, width: int, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        tiles.place_of(level, index, width)
    assert (caught.value.reason, caught.value.facts["field"]) == ("FIELD_INVALID", field)


def test_the_largest_of_everything_is_unknown_and_no_more() -> None:
    with pytest.raises(TileUnknown):
        tiles.hashes_of(tiles.place_of(63, 2**63 - 1, 255), 2**63 - 1)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await Bench(tmp_path, ListedLog(plains(COUNT))).start()
    await bench.ledger.begin()
    await bench.catch_up()
    yield bench
    await bench.book.close()


async def bundle(bench: Bench, index: int, width: int) -> list[bytes]:
    raw = b"".join([piece async for piece in bench.ledger.tiles.entries(index, width)])
    leaves = []
    while raw:
        length = int.from_bytes(raw[:2], "big")
        leaves.append(raw[2 : 2 + length])
        assert len(leaves[-1]) == length
        raw = raw[2 + length :]
    return leaves


async def test_every_tile_and_bundle_is_what_the_tree_is_made_of(bench: Bench) -> None:
    await bench.ledger.sign(BEGIN)
    hashes = [entry_of(each).leaf_hash for each in bench.log.messages]
    for index, width in ((0, 0), (0, 1), (0, 255), (1, 0), (1, 77), (2, 1), (2, 88)):
        wanted = hashes[index * 256 :][: width or 256]
        assert await bench.ledger.tiles.tile(0, index, width) == b"".join(wanted)
        leaves = await bundle(bench, index, width)
        assert [sha256(b"\x00" + leaf).digest() for leaf in leaves] == wanted
    roots = [mth(hashes[:256]), mth(hashes[256:512])]
    assert await bench.ledger.tiles.tile(1, 0, 2) == b"".join(roots)
    assert await bench.ledger.tiles.tile(1, 0, 1) == roots[0]
    for level, index, width in (
        (0, 2, 89),
        (0, 2, 0),
        (0, 3, 1),
        (1, 0, 3),
        (1, 1, 1),
        (2, 0, 1),
        (0, 9**9, 0),
    ):
        with pytest.raises(TileUnknown, match="the signed tree of 600 leaves has"):
            await bench.ledger.tiles.tile(level, index, width)
    with pytest.raises(TileUnknown):
        await bundle(bench, 2, 89)


async def test_only_what_is_signed_is_shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ledger.handlers.proving.HEAD_WAIT_SECONDS", 0.01)
    with pytest.raises(LedgerBehind):
        await bench.ledger.tiles.tile(0, 0, 0)
    with pytest.raises(LedgerBehind):
        await bench.ledger.proving.inclusion_at(0, 0)
    await bench.ledger.sign(BEGIN)
    bench.log.messages.append(plain(COUNT + 1))
    await bench.catch_up()
    with pytest.raises(TileUnknown):
        await bench.ledger.tiles.tile(0, 2, 89)
    await bench.ledger.sign(BEGIN)
    assert len(await bench.ledger.tiles.tile(0, 2, 89)) == 89 * 32
    assert len(await bench.ledger.tiles.tile(0, 2, 88)) == 88 * 32


async def test_a_missing_row_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.ledger.sign(BEGIN)
    read = bench.book.rows

    async def without_270(first: int, last: int) -> list[object]:
        return [row for row in await read(first, last) if row.sequence != 270]

    monkeypatch.setattr(bench.book, "rows", without_270)
    with pytest.raises(LedgerDiverged, match="row 270 is missing") as caught:
        await bundle(bench, 1, 0)
    assert caught.value.facts["sequence"] == "270"


async def test_a_leaf_is_proved_by_its_index(bench: Bench) -> None:
    await bench.ledger.sign(BEGIN)
    for index in (0, 255, 256, 599):
        proof = await bench.ledger.proving.inclusion_at(index, 0)
        by_id = await bench.ledger.proving.inclusion("default", proof.entry.event_id, 0)
        assert (proof.leaf_index, proof) == (index, by_id)
    with pytest.raises(LeafOutOfRange, match="0 to 599"):
        await bench.ledger.proving.inclusion_at(600, 0)
    with pytest.raises(LeafOutOfRange, match="0 to 9"):
        await bench.ledger.proving.inclusion_at(10, 10)


async def test_waiting_for_a_signed_head_not_for_the_event(bench: Bench) -> None:
    last = entry_of(bench.log.messages[-1])
    with pytest.raises(NotCovered, match="no signed head covers") as caught:
        await bench.ledger.proving.await_inclusion("default", last.event_id, 0.0)
    assert caught.value.reason == "LEDGER_BEHIND"
    await bench.ledger.sign(BEGIN)
    proof = await bench.ledger.proving.await_inclusion("default", last.event_id, 0.0)
    assert (proof.leaf_index, proof.head.checkpoint.size, bool(proof.head.note)) == (599, 600, True)

    new = plain(COUNT + 1)
    waiting = asyncio.ensure_future(
        bench.ledger.proving.await_inclusion("default", entry_of(new).event_id, 5.0)
    )
    bench.log.messages.append(new)
    await bench.catch_up()
    assert not waiting.done()
    await bench.ledger.sign(BEGIN)
    assert (await waiting).head.checkpoint.size == 601
    for tenant, event_id in (("acme", last.event_id), ("default", "nothing")):
        with pytest.raises(NotCovered):
            await bench.ledger.proving.await_inclusion(tenant, event_id, 0.01)
