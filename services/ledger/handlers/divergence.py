"""Whether the event log still holds what the ledger has kept of it, and if not, from where on."""

from services.ledger.domain.entry import Entry, Message, entry_of
from services.ledger.domain.faults import LedgerDiverged, StreamRegression
from services.ledger.domain.position import Position
from services.ledger.domain.records import LogState, SignedHead
from services.ledger.ports.book import Book
from services.ledger.ports.log import EventStream

PROBES = 16
_BEYOND = 2**62


async def check_book(book: Book, position: Position) -> None:
    """What the book says of its own ends: nothing behind its position, no head over more than it has.

    Raises:
        LedgerDiverged: its tail was cut off, or rows were added to it.
    """
    while (problem := await _wrong_end(book, position)) is not None:
        now = await book.position()
        if now.last == position.last:
            raise problem
        position = now  # another replica writes meanwhile


async def _wrong_end(book: Book, position: Position) -> LedgerDiverged | None:
    heads = await book.heads()
    # An empty book may have heads: one of another version was made anew, and they are what it will be held against.
    if position.size and heads and heads[-1].checkpoint.size > position.size:
        first = (position.first or 1) + position.size
        return LedgerDiverged(
            f"a head over {heads[-1].checkpoint.size} leaves was signed, the ledger has {position.size} rows: "
            f"row {first} was expected, and from there on nothing is there",
            first,
        )
    added = await book.leaf_hashes(position.last + 1, _BEYOND)
    if added:
        first = added[0][0]
        return LedgerDiverged(
            f"row {first} was added behind the ledger's back: its position is {position.last}", first
        )
    return None


async def compare_with_log(
    book: Book, log: EventStream, position: Position, signed: SignedHead | None
) -> None:
    """Look at both ends of the log and at some events between; only when one is wrong, search for where it begins.

    Raises:
        StreamRegression: the log has lost its beginning or its end.
        LedgerDiverged: it holds other messages.
        Unavailable: the log does not answer.
    """
    state = await log.state()
    if position.size:
        await _compare(book, log, position, state)
    length = state.last - (position.first or state.first or 1) + 1
    if signed is not None and length < signed.checkpoint.size:
        missing = state.last + 1
        raise StreamRegression(
            f"a head over {signed.checkpoint.size} events was signed, the event log has {length}: "
            f"the first one missing is {missing}",
            missing,
        )


def check_ends(position: Position, state: LogState) -> None:
    """Raises StreamRegression or LedgerDiverged when the log's ends alone show that it is not what it was."""
    if not position.size:
        return
    check_beginning(position, state)
    if state.last < position.last:
        missing = max(state.last + 1, position.first)
        raise StreamRegression(
            f"the event log ends at {state.last}, the ledger has kept {position.last}: "
            f"the first event missing is {missing}",
            missing,
        )


def check_beginning(position: Position, state: LogState) -> None:
    """Raises StreamRegression or LedgerDiverged when the log begins elsewhere than it did."""
    # One that was emptied begins behind its end.
    if state.last and state.first > position.first:
        raise StreamRegression(
            f"the event log begins at {state.first}, the ledger has kept it from {position.first} on: "
            f"the first event missing is {position.first}",
            position.first,
        )
    if state.last and state.first < position.first:
        raise LedgerDiverged(
            f"the event log begins at {state.first}, it used to begin at {position.first}", state.first
        )


async def _compare(book: Book, log: EventStream, position: Position, state: LogState) -> None:
    check_beginning(position, state)
    begin, end = position.first, min(position.last, state.last)
    good = begin - 1
    # A log that went back and on again differs everywhere behind one point; one that was edited may differ anywhere,
    # and what these few looks miss is left to the scrubber.
    for probe in sorted({begin, end, *(begin + n * (end - begin) // PROBES for n in range(PROBES))}):
        if not begin <= probe <= end:
            continue
        if not await _same(book, log, probe):
            await _name(book, log, await _first_difference(book, log, good + 1, probe))
        good = probe
    check_ends(position, state)


async def _first_difference(book: Book, log: EventStream, begin: int, end: int) -> int:
    """By halves, between what is the same and what is not."""
    while begin < end:
        middle = (begin + end) // 2
        if await _same(book, log, middle):
            begin = middle + 1
        else:
            end = middle
    return end


async def _name(book: Book, log: EventStream, sequence: int) -> None:
    rows = await book.rows(sequence, sequence)
    raise not_the_same(sequence, rows[0] if rows else None, await log.message(sequence))


def not_the_same(sequence: int, kept: Entry | None, found: Message | None) -> LedgerDiverged:
    """The fault that says what was expected at `sequence` of the log, and what is there."""
    if kept is None:
        return LedgerDiverged(f"row {sequence} is missing, event {sequence} of the log is there", sequence)
    expected = (
        f"{kept.event_type or 'a message'} {kept.event_id} (leaf {_short(kept.leaf_hash)}) was expected"
    )
    if found is None:
        return LedgerDiverged(f"event {sequence} is no longer in the log: {expected}", sequence)
    there = entry_of(found)
    return LedgerDiverged(
        f"event {sequence} of the log is not the one the ledger has kept: {expected}, "
        f"{there.event_type or 'a message'} {there.event_id} (leaf {_short(there.leaf_hash)}) is there",
        sequence,
    )


def _short(leaf_hash: bytes) -> str:
    return leaf_hash.hex()[:16]


async def _same(book: Book, log: EventStream, sequence: int) -> bool:
    message = await log.message(sequence)
    kept = await book.leaf_hashes(sequence, sequence)
    return message is not None and kept == [(sequence, entry_of(message).leaf_hash)]
