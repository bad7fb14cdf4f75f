"""Rebuilding: a new book beside the old one, from the event log alone, that may take its place if it proves equal."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from services.ledger.domain.entry import Message
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range
from services.ledger.domain.records import Progress, SignedHead
from services.ledger.handlers.roots import root_at
from services.ledger.ports import Book, Draft, EventStream, Signer

_AT_ONCE = 5000
_MAX_BYTES_AT_ONCE = 16 * 1024 * 1024
_REPORT_EVERY = 20_000


async def rebuild(
    book: Book, log: EventStream, signer: Signer, appending: asyncio.Lock
) -> AsyncGenerator[Progress, None]:
    """Report while it is built; the last report says whether it was swapped in, and if not, why.

    Live events are kept meanwhile; `appending` is held only while the last of them are copied and the books change
    places.
    """
    draft = await book.beside()
    writing: asyncio.Future[Position] | None = None
    try:
        state = await log.state()
        target = state.last
        events = reported = 0
        yield Progress(0, target)
        async with aclosing(_read(log, max(0, state.first - 1), target)) as read:
            async for messages in read:
                if writing is not None:
                    await writing
                # The next helping is read while this one is written.
                writing = asyncio.ensure_future(draft.append(messages))
                events += len(messages)
                if events - reported >= _REPORT_EVERY:
                    reported = events
                    yield Progress(events, target)
        if writing is not None:
            await writing
        await draft.finish()
        async with appending:
            last = await _take_place(book, log, signer, draft)
        yield last
    finally:
        if writing is not None:
            await asyncio.gather(
                writing, return_exceptions=True
            )  # what it raised was raised above, or is moot
        await draft.discard()


async def _take_place(book: Book, log: EventStream, signer: Signer, draft: Draft) -> Progress:
    current, ours = await book.position(), await draft.position()
    if ours.last < current.last:
        async for messages in _read(log, ours.last, current.last):
            ours = await draft.append(messages)
    heads = {head.checkpoint.size: head for head in await book.heads()}
    if signer.last is not None:
        heads[signer.last.checkpoint.size] = signer.last
    for size in sorted(heads):
        problem = await _problem(draft, ours.size, heads[size])
        if problem:
            return Progress(ours.size, ours.last, done=True, root=ours.root, detail=problem)
        await draft.keep_head(heads[size])
    await draft.publish()
    detail = f"agrees with {len(heads)} signed heads"
    return Progress(ours.size, ours.last, done=True, root=ours.root, swapped=True, detail=detail)


async def _problem(draft: Draft, size: int, head: SignedHead) -> str:
    signed = head.checkpoint
    if signed.size > size:
        return f"a head over {signed.size} events was signed, the event log gives {size}"
    if await root_at(draft, Range(0, signed.size)) != signed.root:
        return f"the first {signed.size} events of the log have another root than the one that was signed"
    return ""


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
