"""Signed heads in the database. The signer keeps the last one elsewhere; these are the memory of all of them."""

from services.ledger.adapters.sqlite.tiles import Run
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import microseconds, time_of
from services.ledger.domain.records import SignedHead


def keep_head(writer: Writer, head: SignedHead) -> None:
    """Remember a head; another one of the same size is not let in."""
    assert head.at is not None, "only a signed head is kept"
    row = head.checkpoint.size, head.checkpoint.root, head.note, microseconds(head.at)
    writer.execute("INSERT OR IGNORE INTO heads VALUES (?, ?, ?, ?)", row)


def read_heads(run: Run) -> list[SignedHead]:
    """Every head, smallest first."""
    rows = run("SELECT size, root, note, at_us FROM heads ORDER BY size", ())
    return [
        SignedHead(Checkpoint(note.partition("\n")[0], size, root), note, time_of(at_us))
        for size, root, note, at_us in rows
    ]
