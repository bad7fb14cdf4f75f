"""An event log in a list, which can be made to forget, forge and end."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from kernel.faults import Unavailable
from services.ledger.adapters.mending import FileScrubMemory
from services.ledger.adapters.signer import FileSigner
from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import StreamRegression
from services.ledger.domain.records import LogState
from services.ledger.handlers import Ledger
from services.ledger.wire.understanding import understand

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


class ListedMender:
    """Implements `ports.Mender` over a listed log; `room` is how many events it takes before it goes away."""

    def __init__(self, log: ListedLog) -> None:
        self._log = log
        self.fenced = ""
        self.room = 10**6

    async def fence(self, why: str) -> None:
        self.fenced = self.fenced or why

    async def lift(self) -> None:
        self.fenced = ""

    async def republish(self, messages: Sequence[Message]) -> int:
        assert self.fenced, "put back while everybody may write"
        for n, message in enumerate(messages):
            if not self.room:
                raise Unavailable("LOG_UNREACHABLE", f"gone after {n}")
            end = self._log.messages[-1].sequence if self._log.messages else 0
            self._log.messages.append(message._replace(sequence=end + 1))
            self.room -= 1
        return len(messages)


class Bench:
    """A ledger over a listed log, in a directory; `restart` is a new process over the same files."""

    def __init__(self, home: Path, log: ListedLog) -> None:
        self.home = home
        self.log = log
        self.ledger: Ledger
        self.book: SqliteBook
        self.signer: FileSigner
        self.mender: ListedMender

    @property
    def database(self) -> Path:
        return self.home / "ledger.db"

    async def start(self) -> "Bench":
        self.make()
        await self.book.open()
        return self

    def make(self) -> None:
        self.signer = FileSigner(ORIGIN, self.home / "keys" / "ledger.key", self.home / "signer" / "head")
        self.book = SqliteBook(self.database, understand)
        self.mender = ListedMender(self.log)
        memory = FileScrubMemory(self.home / "scrub.json")
        self.ledger = Ledger(self.book, self.log, self.signer, self.mender, memory)

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
