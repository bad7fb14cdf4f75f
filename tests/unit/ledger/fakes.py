"""An event log in a list, which can be made to forget, forge and end."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from services.ledger.adapters.signer import FileSigner
from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import StreamRegression
from services.ledger.domain.records import LogState
from services.ledger.handlers import Ledger
from services.ledger.wire.facts import read_fact

ORIGIN = "provost.local/main"


class ListedLog:
    """Implements `ports.EventStream`."""

    def __init__(self, messages: Sequence[Message] = ()) -> None:
        self.messages = list(messages)

    async def state(self) -> LogState:
        if not self.messages:
            return LogState(0, 0)
        return LogState(self.messages[0].sequence, self.messages[-1].sequence)

    async def message(self, sequence: int) -> Message | None:
        return next((each for each in self.messages if each.sequence == sequence), None)

    async def read(self, after: int, upto: int) -> AsyncGenerator[Sequence[Message], None]:
        wanted = [each for each in self.messages if after < each.sequence <= upto]
        for at in range(0, len(wanted), 100):
            yield wanted[at : at + 100]
        if (wanted[-1].sequence if wanted else after) < upto:
            raise StreamRegression("the log ends too early", upto)


class Bench:
    """A ledger over a listed log, in a directory; `restart` is a new process over the same files."""

    def __init__(self, home: Path, log: ListedLog) -> None:
        self.home = home
        self.log = log
        self.ledger: Ledger
        self.book: SqliteBook
        self.signer: FileSigner

    @property
    def database(self) -> Path:
        return self.home / "ledger.db"

    async def start(self) -> "Bench":
        self.make()
        await self.book.open()
        return self

    def make(self) -> None:
        self.signer = FileSigner(ORIGIN, self.home / "keys" / "ledger.key", self.home / "signer" / "head")
        self.book = SqliteBook(self.database, read_fact)
        self.ledger = Ledger(self.book, self.log, self.signer)

    async def restart(self) -> "Bench":
        await self.book.close()
        return await self.start()

    async def wipe(self) -> "Bench":
        """Restart without the database."""
        await self.book.close()
        for each in self.home.glob("ledger.db*"):
            each.unlink()
        return await self.start()

    async def catch_up(self) -> None:
        last = self.ledger.position.last
        await self.ledger.take([each for each in self.log.messages if each.sequence > last])
