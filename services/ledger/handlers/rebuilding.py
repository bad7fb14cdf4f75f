"""Rebuilding: a new book beside the old one, from the event log alone, that may take its place if it proves equal."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from kernel.faults import Unavailable
from services.ledger.domain.entry import Message, row_of
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range, Slice
from services.ledger.domain.records import LogState, Progress, SignedHead
from services.ledger.handlers.roots import roots
from services.ledger.ports.book import Book, Draft
from services.ledger.ports.log import EventStream
from services.ledger.ports.signing import Signer

_AT_ONCE = 1000
_UNDER_WAY = 3
_MAX_BYTES_AT_ONCE = 8 * 1024 * 1024
_REPORT_EVERY = 20_000
_CLOSE_BEHIND = 2000
"""From this few events on, the last stretch is copied while nothing is appended."""
_ROUNDS = 10
_HEADS_AT_ONCE = 200


async def rebuild(
    book: Book, log: EventStream, signer: Signer, appending: asyncio.Lock
) -> AsyncGenerator[Progress, None]:
    """Report while it is built; the last report says whether it was swapped in, and if not, why.

    Live events are kept meanwhile; `appending` is held only while the last of them are copied and the books change
    places. Broken off, it leaves its draft, and the next one goes on there; a draft that turned out wrong is removed.
    """
    state = await log.state()
    draft = await _begun(book, log, state)
    try:
        async for progress in _fill(draft, log, state):
            yield progress
        await _follow(book, log, draft)
        await draft.finish()
        await _follow(book, log, draft)
        agreed = await _agreed(await book.heads(), draft, frozenset())
        async with appending:
            last = await _take_place(book, log, signer, draft, agreed)
        if not last.swapped:
            await draft.discard()
        yield last
    except Unavailable:
        raise  # it can be gone on with when the log or the database is there again
    except Exception:
        await draft.discard()
        raise
    finally:
        await draft.close()


async def _begun(book: Book, log: EventStream, state: LogState) -> Draft:
    """The draft that an earlier rebuild has left, if the log has grown out of it, or else an empty one."""
    draft = await book.beside()
    try:
        position = await draft.position()
        if not position.size or await _continues(draft, position, log, state):
            return draft
    except BaseException:
        await draft.close()
        raise
    await draft.discard()
    return await book.beside()


async def _continues(draft: Draft, position: Position, log: EventStream, state: LogState) -> bool:
    if position.first != state.first or position.last > state.last:
        return False
    for index in {0, position.size // 2, position.size - 1}:
        message = await log.message(position.first + index)
        if message is None or await draft.hashes([Slice(0, index, 1)]) != [row_of(message).leaf_hash]:
            return False
    return True


async def _fill(draft: Draft, log: EventStream, state: LogState) -> AsyncGenerator[Progress, None]:
    position = await draft.position()
    after = max(position.last, state.first - 1, 0)
    events = reported = position.size
    writing: deque[asyncio.Future[Position]] = deque()
    yield Progress(events, state.last)
    try:
        async with aclosing(_read(log, after, state.last)) as read:
            async for messages in read:
                # The next helping is read while one is written and another waits its turn.
                if len(writing) == _UNDER_WAY:
                    await writing.popleft()
                writing.append(asyncio.ensure_future(draft.append(messages)))
                events += len(messages)
                if events - reported >= _REPORT_EVERY:
                    reported = events
                    yield Progress(events, state.last)
        while writing:
            await writing.popleft()
    finally:
        # What the first of them raised was raised above, and with it the others cannot go on.
        await asyncio.gather(*writing, return_exceptions=True)


async def _follow(book: Book, log: EventStream, draft: Draft) -> None:
    """Come close to the book, which grows meanwhile."""
    for _ in range(_ROUNDS):
        current, ours = await book.position(), await draft.position()
        if current.last - ours.last < _CLOSE_BEHIND:
            return
        async for messages in _read(log, ours.last, current.last):
            await draft.append(messages)


async def _take_place(
    book: Book, log: EventStream, signer: Signer, draft: Draft, agreed: frozenset[int]
) -> Progress:
    current, ours = await book.position(), await draft.position()
    if ours.last < current.last:
        async for messages in _read(log, ours.last, current.last):
            ours = await draft.append(messages)
    heads = {head.checkpoint.size: head for head in await book.heads()}
    if signer.last is not None:
        heads[signer.last.checkpoint.size] = signer.last
    agreed = await _agreed(list(heads.values()), draft, agreed)
    for size in sorted(heads.keys() - agreed):
        if size > ours.size:
            problem = f"a head over {size} events was signed, the event log gives {ours.size}"
        else:
            problem = f"the first {size} events of the log have another root than the one that was signed"
        return Progress(ours.size, ours.last, done=True, root=ours.root, detail=problem)
    await draft.publish()
    detail = f"agrees with {len(heads)} signed heads"
    return Progress(ours.size, ours.last, done=True, root=ours.root, swapped=True, detail=detail)


async def _agreed(heads: Sequence[SignedHead], draft: Draft, before: frozenset[int]) -> frozenset[int]:
    """The sizes of the heads that the draft's tree has the roots of; it remembers them from now on."""
    size = (await draft.position()).size
    new = [head for head in heads if head.checkpoint.size <= size and head.checkpoint.size not in before]
    agreed = set(before)
    for at in range(0, len(new), _HEADS_AT_ONCE):
        some = new[at : at + _HEADS_AT_ONCE]
        found = await roots(draft, [Range(0, head.checkpoint.size) for head in some])
        for head, root in zip(some, found, strict=True):
            if head.checkpoint.root == root:
                await draft.keep_head(head)
                agreed.add(head.checkpoint.size)
    return frozenset(agreed)


async def _read(log: EventStream, after: int, upto: int) -> AsyncGenerator[Sequence[Message], None]:
    """What the log brings, in larger helpings."""
    gathered: list[Message] = []
    n_bytes = 0
    async with aclosing(log.read(after, upto)) as read:
        async for messages in read:
            gathered.extend(messages)
            n_bytes += sum(len(each.header) + len(each.payload) for each in messages)
            if len(gathered) >= _AT_ONCE or n_bytes > _MAX_BYTES_AT_ONCE:
                yield gathered
                gathered, n_bytes = [], 0
    if gathered:
        yield gathered
