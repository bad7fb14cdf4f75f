"""Whether the event log still holds what the ledger has kept of it, and if not, from where on."""

from services.ledger.domain.entry import entry_of
from services.ledger.domain.faults import LedgerDiverged, StreamRegression
from services.ledger.domain.position import Position
from services.ledger.domain.records import LogState, SignedHead
from services.ledger.ports import Book, EventStream


async def compare_with_log(
    book: Book, log: EventStream, position: Position, signed: SignedHead | None
) -> None:
    """Look at both ends of the log; only when they are wrong, search for where it begins.

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


async def _compare(book: Book, log: EventStream, position: Position, state: LogState) -> None:
    if state.first > position.last + 1:
        raise StreamRegression(
            f"the event log begins at {state.first}; the ledger ends at {position.last}", position.last + 1
        )
    end = min(position.last, state.last)
    if end >= position.first and not await _same(book, log, end):
        first = await _first_difference(book, log, max(position.first, state.first), end)
        raise LedgerDiverged(f"event {first} of the log is not the one the ledger has kept", first)
    if state.last < position.last:
        raise StreamRegression(
            f"the event log ends at {state.last}, the ledger has kept {position.last}: "
            f"the first event missing is {state.last + 1}",
            state.last + 1,
        )


async def _first_difference(book: Book, log: EventStream, begin: int, end: int) -> int:
    """By halves: a log that went back and on again differs everywhere behind the point."""
    while begin < end:
        middle = (begin + end) // 2
        if await _same(book, log, middle):
            begin = middle + 1
        else:
            end = middle
    return end


async def _same(book: Book, log: EventStream, sequence: int) -> bool:
    message = await log.message(sequence)
    kept = await book.leaf_hashes(sequence, sequence)
    return message is not None and kept == [(sequence, entry_of(message).leaf_hash)]
