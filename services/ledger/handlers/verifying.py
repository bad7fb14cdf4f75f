"""Verification: the book against itself, against every head that was signed, and against the event log."""

from collections.abc import Sequence
from contextlib import aclosing

from kernel.faults import Fault
from services.ledger.domain.audit import Finding
from services.ledger.domain.checkpoint import MalformedNote
from services.ledger.domain.entry import entry_of
from services.ledger.domain.faults import LedgerDiverged, StreamRegression
from services.ledger.domain.position import Position
from services.ledger.domain.records import SignedHead, Verdict
from services.ledger.handlers.divergence import check_beginning
from services.ledger.ports.book import Book
from services.ledger.ports.log import EventStream
from services.ledger.ports.signing import Signer


async def verify(
    book: Book,
    log: EventStream,
    signer: Signer,
    diverged: Fault | None,
    scrubbed: Finding,
    *,
    against_log: bool,
) -> Verdict:
    """Everything that was looked at, and what does not hold. Changes nothing.

    Raises:
        Unavailable: the log or the database does not answer.
    """
    # Read before the audit's snapshot: a head signed later may cover more than the snapshot has.
    last, findings = _last(signer)
    heads = [*await book.heads(), *([] if last is None else [last])]
    audited = await book.audit([] if last is None else [last.checkpoint])
    findings = [*audited.findings, *findings, _signatures(signer, heads)]
    if against_log:
        findings.append(await _log(book, log, audited.position))
    if diverged is not None:
        sequence = diverged.facts.get("sequence", "0")
        findings.append(Finding("following", False, diverged.text, int(sequence)))
    findings.append(scrubbed)
    return Verdict(tuple(findings), last)


def _last(signer: Signer) -> tuple[SignedHead | None, list[Finding]]:
    try:
        return signer.last, []
    except LedgerDiverged as fault:
        return None, [Finding("signer", False, fault.text)]


def _signatures(signer: Signer, heads: Sequence[SignedHead]) -> Finding:
    for head in heads:
        try:
            opened = signer.opens(head.note)
        except MalformedNote as problem:
            return Finding(
                "signatures", False, f"the head over {head.checkpoint.size} leaves: {problem.text}"
            )
        if opened != head.checkpoint:
            detail = f"the note over {opened.size} leaves is kept as one over {head.checkpoint.size}"
            return Finding("signatures", False, detail)
    signing = " and ".join(each.text for each in signer.keys)
    return Finding(
        "signatures", True, f"{len(heads)} signed heads verify with keys of the log; {signing} signs"
    )


async def _log(book: Book, log: EventStream, position: Position) -> Finding:
    if not position.size:
        return Finding("log", True, "nothing is kept yet")
    state = await log.state()
    try:
        check_beginning(position, state)
        first = await first_difference(book, log, position.first, min(position.last, state.last))
    except (StreamRegression, LedgerDiverged) as fault:
        return Finding("log", False, fault.text, int(fault.facts.get("sequence", "0")))
    if state.last < position.last:
        detail = f"the event log ends at {state.last}, the ledger at {position.last}"
        return Finding("log", False, detail, first or state.last + 1)
    if first:
        return Finding("log", False, f"event {first} of the log is not the one the ledger has kept", first)
    detail = f"events {position.first} to {position.last} of the log are the ones that are kept"
    return Finding("log", True, detail)


async def first_difference(book: Book, log: EventStream, first: int, last: int) -> int:
    """The first sequence whose leaf is not that of the log's message, 0 if there is none."""
    expected = first
    async with aclosing(log.read(first - 1, last)) as read:
        async for messages in read:
            kept = dict(await book.leaf_hashes(messages[0].sequence, messages[-1].sequence))
            for message in messages:
                if message.sequence != expected or kept.get(expected) != entry_of(message).leaf_hash:
                    return expected
                expected += 1
    return 0 if expected > last else expected
