"""Signed heads in the database. The signer keeps the last one elsewhere; these are the memory of those before it."""

from services.ledger.adapters.postgres.definition import KEEPER
from services.ledger.adapters.postgres.reader import Reader
from services.ledger.adapters.postgres.writer import Writer
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import microseconds, time_of
from services.ledger.domain.heads import HOUR_US, superfluous
from services.ledger.domain.records import SignedHead


async def keep_head(writer: Writer, head: SignedHead) -> None:
    """Remember a head; another one of the same size is not let in."""
    assert head.at is not None, "only a signed head is kept"
    row = head.checkpoint.size, head.checkpoint.root, head.note, microseconds(head.at)
    await writer.fetch("INSERT INTO heads VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", *row)


async def thin(writer: Writer) -> None:
    """Once an hour, when a head is the first of it: forget those that need not be kept."""
    times = await writer.fetch("SELECT at_us FROM heads ORDER BY size DESC LIMIT 2")
    if len({at_us // HOUR_US for (at_us,) in times}) == 2:
        heads = await writer.fetch("SELECT size, at_us FROM heads ORDER BY size")
        await writer.fetch(f"SELECT {KEEPER}.thin_heads($1)", superfluous([(size, at) for size, at in heads]))


async def read_heads(reader: Reader) -> list[SignedHead]:
    """Every head, smallest first."""
    rows = await reader.fetch("SELECT size, root, note, at_us FROM heads ORDER BY size")
    return [
        SignedHead(Checkpoint(note.partition("\n")[0], size, root), note, time_of(at_us))
        for size, root, note, at_us in rows
    ]
