"""A draft: a database file of its own, filled by a process of its own, that then takes the place of the book's."""

import asyncio
import marshal
import os
import sys
from asyncio import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from chassis.orphans import die_with_parent
from kernel.faults import Unavailable
from services.ledger.adapters.sqlite.disk import remove, sync
from services.ledger.adapters.sqlite.drafting import LENGTH_BYTES, pack, wide_pipe
from services.ledger.domain.entry import Message, microseconds
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.records import SignedHead

_ANSWER_BYTES = 1024 * 1024
_SYNC_EVERY_EVENTS = 50_000


class SqliteDraft:
    """Implements `ports.Draft` in the file `path`; `take_place` puts a whole file in the place of the book's.

    A file that an earlier rebuild has left is gone on with, if it adds up.
    """

    def __init__(self, path: Path, take_place: Callable[[Path], Awaitable[None]]) -> None:
        self._path = path
        self._take_place = take_place
        self._asking, self._answering = asyncio.Lock(), asyncio.Lock()
        self._process: subprocess.Process | None = None
        self._asks: asyncio.StreamWriter | None = None
        self._unsynced = 0
        self._syncing: asyncio.Future[None] | None = None
        self._closed = self._crowded = False

    async def position(self) -> Position:
        return Position(*await self._ask("position"))

    async def append(self, messages: Sequence[Message]) -> Position:
        position = Position(*await self._ask("append", list(map(tuple, messages))))
        self._unsynced += len(messages)
        if self._unsynced >= _SYNC_EVERY_EVENTS and (self._syncing is None or self._syncing.done()):
            await self._synced()
            # A little at a time, and nobody waits: at the end it would be all of it.
            self._unsynced, self._syncing = 0, asyncio.ensure_future(asyncio.to_thread(sync, self._path))
        return position

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        found: list[bytes] = await self._ask("hashes", list(map(tuple, slices)))
        return found

    async def keep_head(self, head: SignedHead) -> None:
        assert head.at is not None, "only a signed head is kept"
        signed = head.checkpoint
        await self._ask(
            "keep_head", (signed.origin, signed.size, signed.root, head.note, microseconds(head.at))
        )

    async def finish(self) -> None:
        await self._synced()
        await self._ask("finish")

    async def publish(self) -> None:
        await self._ask("close")
        await self.close()
        await self._synced()
        await asyncio.to_thread(sync, self._path)
        await self._take_place(self._path)

    async def close(self) -> None:
        self._closed = True
        async with self._asking:
            process, self._process = self._process, None
            if process is not None:
                assert self._asks is not None
                self._asks.close()
                with suppress(ProcessLookupError):
                    process.kill()  # what is committed stays
                await process.wait()
        if self._syncing is not None:
            await asyncio.wait({self._syncing})
        if self._crowded:
            remove(self._path)

    async def discard(self) -> None:
        await self.close()
        remove(self._path)

    async def _synced(self) -> None:
        """Wait for what is on its way to the disk. Raises Unavailable: it is not there, and the draft is no good."""
        if self._syncing is not None:
            try:
                await asyncio.shield(self._syncing)
            except Unavailable:
                self._crowded = True
                raise

    async def _ask(self, asked: str, value: Any = None) -> Any:
        # Shielded: an answer that nobody waits for any more must not be taken for that to the next question.
        return await asyncio.shield(asyncio.ensure_future(self._asked(asked, value)))

    async def _asked(self, asked: str, value: Any) -> Any:
        frame = pack((asked, value))
        async with self._asking:
            if self._closed:
                raise Unavailable("STORE_UNREACHABLE", "the draft is closed")
            process = self._process = self._process or await self._start()
            assert self._asks is not None
            try:
                self._asks.write(frame)
                await self._asks.drain()
            except (ConnectionError, RuntimeError) as problem:
                raise _ended() from problem
            # Answers come in the order of what was asked. What is asked next is there already when this is answered.
            await self._answering.acquire()
        try:
            assert process.stdout is not None
            length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
            kind, *told = marshal.loads(await process.stdout.readexactly(length))  # noqa: S302 - our own end
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError) as problem:
            raise _ended() from problem
        finally:
            self._answering.release()
        if kind == "fault":
            self._crowded = self._crowded or told[0] == Unavailable.__name__
            _raise(*told)
        return told[0]

    async def _start(self) -> subprocess.Process:
        asked, asking = wide_pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.ledger.adapters.sqlite.drafting",
                str(self._path),
                stdin=asked,
                stdout=subprocess.PIPE,
                limit=_ANSWER_BYTES,
                preexec_fn=die_with_parent(),
            )
        except OSError as problem:
            os.close(asking)
            why = f"no process can be started to rebuild: {problem}"
            raise Unavailable("STORE_UNREACHABLE", why) from problem
        finally:
            os.close(asked)
        loop = asyncio.get_running_loop()
        flow = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        transport, _ = await loop.connect_write_pipe(lambda: flow, os.fdopen(asking, "wb"))
        self._asks = asyncio.StreamWriter(transport, flow, None, loop)
        return process


def _ended() -> Unavailable:
    # A closed pipe is a RuntimeError to uvloop, and a ConnectionError to others.
    text = "the process that fills the draft has ended; the ledger's log says why"
    return Unavailable("STORE_UNREACHABLE", text)


def _raise(kind: str, reason: str, text: str, facts: dict[str, str]) -> NoReturn:
    if kind == LedgerDiverged.__name__:
        raise LedgerDiverged(text, int(facts.get("sequence", "0")))
    if kind == WriterFenced.__name__:
        raise WriterFenced(int(facts["expected_sequence"]))
    raise Unavailable(reason, text, **facts)
