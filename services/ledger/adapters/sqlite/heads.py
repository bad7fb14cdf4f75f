"""Signed heads in the database. The signer keeps the last one elsewhere; these are the memory of those before it."""

import json

from services.ledger.adapters.sqlite.tiles import Run
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import microseconds, time_of
from services.ledger.domain.heads import HOUR_US, superfluous
from services.ledger.domain.records import SignedHead


def keep_head(writer: Writer, head: SignedHead) -> None:
    """Remember a head; another one of the same size is not let in. Once an hour, those that are superfluous go."""
    assert head.at is not None, "only a signed head is kept"
    row = head.checkpoint.size, head.checkpoint.root, head.note, microseconds(head.at)
    before = writer.execute("SELECT at_us FROM heads ORDER BY size DESC LIMIT 1")
    unknown = "WHERE NOT EXISTS (SELECT 1 FROM heads WHERE size = ?)"
    writer.execute(f"INSERT INTO heads SELECT ?, ?, ?, ? {unknown}", (*row, row[0]))
    if before and before[0][0] // HOUR_US != row[3] // HOUR_US:
        thin(writer)


def thin(writer: Writer) -> None:
    """Forget the heads that need not be kept."""
    sizes = superfluous(
        [(size, at_us) for size, at_us in writer.execute("SELECT size, at_us FROM heads ORDER BY size")]
    )
    writer.execute("DELETE FROM heads WHERE size IN (SELECT value FROM json_each(?))", (json.dumps(sizes),))


def read_heads(run: Run) -> list[SignedHead]:
    """Every head, smallest first."""
    rows = run("SELECT size, root, note, at_us FROM heads ORDER BY size", ())
    return [
        SignedHead(Checkpoint(note.partition("\n")[0], size, root), note, time_of(at_us))
        for size, root, note, at_us in rows
    ]
