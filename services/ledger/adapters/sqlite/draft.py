"""A draft: a database file of its own, filled quickly, that then takes the place of the book's."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from services.ledger.adapters.sqlite.heads import keep_head
from services.ledger.adapters.sqlite.tiles import read_slices
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.domain.entry import Message
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.records import SignedHead
from services.ledger.domain.understood import Understand

T = TypeVar("T")


class SqliteDraft:
    """Implements `ports.Draft` in the file `path`; `take_place` puts a whole file in the place of the book's."""

    def __init__(
        self, path: Path, understand: Understand, take_place: Callable[[Path], Awaitable[None]]
    ) -> None:
        self._path = path
        self._understand = understand
        self._take_place = take_place
        self._thread = ThreadPoolExecutor(1, "ledger-draft")
        self._writer: Writer | None = None
        self._closed = False
        remove(path)

    async def position(self) -> Position:
        return await self._run(lambda writer: writer.position)

    async def append(self, messages: Sequence[Message]) -> Position:
        return await self._run(lambda writer: writer.append(messages))

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        return await self._run(lambda writer: read_slices(writer.execute, slices))

    async def keep_head(self, head: SignedHead) -> None:
        await self._run(lambda writer: keep_head(writer, head))

    async def finish(self) -> None:
        await self._run(Writer.finish)

    async def publish(self) -> None:
        await self._close()
        await self._take_place(self._path)

    async def discard(self) -> None:
        await self._close()
        remove(self._path)

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True

        def on_thread() -> None:
            if self._writer is not None:
                self._writer.close()
                sync(self._path)

        await asyncio.get_running_loop().run_in_executor(self._thread, on_thread)
        self._thread.shutdown(wait=False)

    async def _run(self, call: Callable[[Writer], T]) -> T:
        def on_thread() -> T:
            if self._writer is None:
                self._writer = Writer(self._path, self._understand, draft=True)
            return call(self._writer)

        return await asyncio.get_running_loop().run_in_executor(self._thread, on_thread)


def remove(path: Path) -> None:
    """Remove a database with what SQLite may have left beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
