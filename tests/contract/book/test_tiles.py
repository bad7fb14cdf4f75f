"""Tiles of any width and the leaves under them, from any book; also from a log that does not begin at 1."""

from hashlib import sha256

from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import entry_of
from services.ledger.domain.records import SignedHead
from services.ledger.handlers.tiles import Tiles
from services.ledger.ports.book import Book
from tests.contract.book.shelves import root
from tests.unit.ledger.story import plains, run
from tests.unit.ledger.test_tree import mth


async def test_tiles_and_bundles_are_those_of_the_tree(book: Book) -> None:
    messages = [*plains(9, first=31), *run(first=40), *plains(552, first=49)]
    assert len(messages) == 570
    await book.append(messages)
    position = await book.position()
    assert position.first == 31
    hashes = [entry_of(each).leaf_hash for each in messages]

    async def head() -> SignedHead:
        return SignedHead(Checkpoint("log", 570, root(messages)))

    tiles = Tiles(book, head, lambda: position)
    for index, width in ((0, 0), (0, 1), (0, 7), (0, 255), (1, 0), (1, 129), (2, 1), (2, 57), (2, 58)):
        wanted = hashes[index * 256 :][: width or 256]
        assert await tiles.tile(0, index, width) == b"".join(wanted), (index, width)
        bundle = b"".join([piece async for piece in tiles.entries(index, width)])
        assert leaf_hashes(bundle) == wanted, (index, width)
    above = [mth(hashes[:256]), mth(hashes[256:512])]
    assert await tiles.tile(1, 0, 2) == b"".join(above)
    assert await tiles.tile(1, 0, 1) == above[0]


def leaf_hashes(bundle: bytes) -> list[bytes]:
    found = []
    while bundle:
        end = 2 + int.from_bytes(bundle[:2], "big")
        found.append(sha256(b"\x00" + bundle[2:end]).digest())
        bundle = bundle[end:]
    return found
