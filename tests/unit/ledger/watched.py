"""A ledger whose heads are signed by witnesses, which are the real ones without a port between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from kernel.faults import Unavailable
from provost_sdk.cosignatures import read_witness_key
from provost_sdk.note import Key
from services.ledger.adapters.keyring import verify
from services.ledger.adapters.mending import FileScrubMemory
from services.ledger.adapters.signer import FileSigner
from services.ledger.adapters.witnesses import CosignedFile, Teller, read_answer
from services.ledger.domain.entry import Message
from services.ledger.domain.records import SignedHead
from services.ledger.domain.witnesses import Answer, WitnessKey, parse_witness_key
from services.ledger.handlers import Ledger
from services.ledger.handlers.witnessing import Witnessing
from tests.fakes.wait import until
from tests.unit.ledger.fakes import ORIGIN, Bench, ListedLog
from tests.unit.ledger.story import BEGIN
from tests.unit.witness import words


class NearWitness:
    """Implements `ports.Witness`; may be away, or lose its answers on their way, or wait to be let on."""

    def __init__(self, bench: words.Bench) -> None:
        self.bench = bench
        self.away = False
        self.loses_answers = False
        self.waiting = False
        self.turns: asyncio.Semaphore | None = None
        self.asked: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def key(self) -> WitnessKey:
        return parse_witness_key(self.bench.key.text)

    async def ask(self, old: int, path: Sequence[bytes], note: str) -> Answer:
        await self.gate.wait()
        if self.turns is not None:
            self.waiting = True
            await self.turns.acquire()
            self.waiting = False
        self.asked.append(old)
        if self.away:
            raise Unavailable("PEER_UNREACHABLE", "it is away")
        status, kind, text = await self.bench.ask("POST", "/add-checkpoint", words.request(old, path, note))
        if self.loses_answers:
            raise Unavailable("PEER_UNREACHABLE", "its answer was lost")
        return read_answer(status, kind, text.encode())


class WatchedBench(Bench):
    """As `Bench`, with witnesses. `again` is the ledger as a new process over the same files, or over edited ones."""

    def __init__(self, home: Path, log: ListedLog, count: int = 1) -> None:
        super().__init__(home, log)
        # The key is made with the first signer, and whoever is to watch must know it.
        vkey = FileSigner(ORIGIN, home / "keys" / "ledger.key", home / "signer" / "head").key.text
        self.witnesses = [
            NearWitness(words.Bench(home / f"w{n}", vkey, f"witness.example/w{n}")) for n in range(count)
        ]

    def make(self) -> None:
        super().make()
        self.witnessing = Witnessing(
            self.book, self.signer, self.witnesses, CosignedFile(self.home / "cosigned"), verify, Teller()
        )
        memory = FileScrubMemory(self.home / "scrub.json")
        self.ledger = Ledger(self.book, self.log, self.signer, self.mender, memory, self.witnessing)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["WatchedBench"]:
        """The ledger begun and its witnesses asked."""
        await self.start()
        await self.ledger.begin()
        running = asyncio.create_task(self.witnessing.run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.wait({running})
            await self.book.close()

    async def grow(self, *messages: Message) -> None:
        """Keep these and sign a head over them."""
        self.log.messages.extend(messages)
        await self.catch_up()
        await self.ledger.sign(BEGIN)

    async def cosigned(self) -> SignedHead:
        """The newest head, once every witness that can be asked has had its say."""
        await until(lambda: not self.witnessing._asking, "the witnesses did not answer")
        return await self.ledger.proving.tree_head()

    @property
    def keys(self) -> list[Key]:
        return [read_witness_key(each.bench.key.text) for each in self.witnesses]
