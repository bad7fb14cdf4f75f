"""What any book owes whoever rebuilds it."""

import asyncio

from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range, range_root, slices
from services.ledger.domain.questions import ActionQuestion, EventQuestion, Page
from services.ledger.domain.records import SignedHead
from services.ledger.ports.book import Book
from tests.contract.book.shelves import Shelf, root
from tests.unit.ledger.story import BEGIN, plains, run


async def test_a_draft_takes_the_books_place(book: Book, shelf: Shelf) -> None:
    story = [*plains(600), *run(first=601)]
    await book.append(story[:300])
    draft = await book.beside()
    await draft.append(story[:20])
    await draft.append(story[20:400])
    await draft.finish()
    position = await draft.append(story)
    assert range_root(await draft.hashes(slices(Range(0, 600)))) == root(story[:600])
    head = SignedHead(Checkpoint("o", 200, root(story[:200])), "o\n", BEGIN)
    await draft.keep_head(head)
    await book.append(story[:350])
    await draft.publish()
    await draft.discard()
    assert await book.position() == position == Position(1, 609, root(story))
    assert list(await book.heads()) == [head]
    more = plains(10, first=610)
    assert await book.append(more) == Position(1, 619, root([*story, *more]))
    assert len((await book.actions(ActionQuestion("default"), Page(10))).rows) == 2
    assert all(each.ok for each in (await book.audit([])).findings)
    await shelf.close()
    again = await shelf.open()
    assert (await again.position()).last == 619
    assert "append-only" in await shelf.refused("DELETE FROM events")


async def test_reading_goes_on_while_a_draft_takes_the_place(book: Book) -> None:
    await book.append(plains(50))
    draft = await book.beside()
    await draft.append(plains(50))
    await draft.finish()
    reads = [asyncio.create_task(book.events(EventQuestion("default"), Page(100))) for _ in range(20)]
    await draft.publish()
    assert {len(listed.rows) for listed in await asyncio.gather(*reads)} == {50}


async def test_a_discarded_draft_leaves_the_book(book: Book) -> None:
    await book.append(plains(5))
    draft = await book.beside()
    await draft.append(plains(3))
    await draft.discard()
    assert (await book.position()).last == 5
    again = await book.beside()
    assert (await again.append(plains(9))).last == 9
    await again.discard()
