"""The ledger's end of an export: starts the process that makes the files, feeds it, and hands on what it makes.

Neither side runs ahead of the other: whoever does not read what is made stops what is read for it.
"""

import asyncio
import json
import sys
from asyncio import StreamReader, subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from kernel.faults import Refused, Unavailable
from services.ledger.adapters.exporting.frames import PIECE, pack_messages
from services.ledger.domain.entry import Message
from services.ledger.domain.export import Filed, Piece, Plan
from services.ledger.domain.faults import LedgerDiverged

_PIPE_BYTES = 1024 * 1024


class ProcessExporter:
    """Implements `ports.Exporter` by a process for each export."""

    async def files(
        self, plan: Plan, messages: AsyncGenerator[Sequence[Message], None]
    ) -> AsyncGenerator[Piece | Filed, None]:
        process = await _start(plan)
        assert process.stdin is not None
        assert process.stdout is not None
        feeding = asyncio.create_task(_feed(process.stdin, messages))
        try:
            while (piece := await _read(process.stdout, feeding)).path:
                yield piece
            with suppress(ConnectionError):  # it had read enough to know
                await feeding  # what kept messages from coming says more than that they did not come
            yield _end(json.loads(piece.data))
        finally:
            feeding.cancel()
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.gather(feeding, return_exceptions=True)
            await messages.aclose()
            while await process.stdout.read(_PIPE_BYTES):
                pass  # a pipe that is not read to its end keeps asyncio from seeing that of the process
            await process.wait()


async def _start(plan: Plan) -> subprocess.Process:
    head = plan.head
    told = [head.origin, head.size, head.root.hex(), plan.first, plan.parquet, plan.events_per_file]
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.ledger.adapters.exporting",
            json.dumps(told),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=_PIPE_BYTES,
        )
    except OSError as problem:
        raise Unavailable("STORE_UNREACHABLE", f"no process can be started to export: {problem}") from problem


async def _feed(pipe: asyncio.StreamWriter, messages: AsyncGenerator[Sequence[Message], None]) -> None:
    try:
        async for each in messages:
            for packed in pack_messages(each):
                pipe.write(packed)
                await pipe.drain()
    finally:
        pipe.close()


async def _read(pipe: StreamReader, feeding: "asyncio.Task[None]") -> Piece:
    """The next piece. Raises what kept the messages from coming, or Unavailable: the process has ended."""
    try:
        n_path, n_data, events = PIECE.unpack(await pipe.readexactly(PIECE.size))
        path = (await pipe.readexactly(n_path)).decode()
        return Piece(path, await pipe.readexactly(n_data), events)
    except asyncio.IncompleteReadError:
        with suppress(ConnectionError):
            if feeding.done():
                feeding.result()
        raise Unavailable(
            "STORE_UNREACHABLE", "the process that exports has ended early; the ledger's log says why"
        ) from None


def _end(told: dict[str, str]) -> Filed:
    if "missing" in told:
        raise Refused(
            "FIELD_INVALID", "Parquet cannot be written here (arro3-io is not installed): export without it"
        )
    if "problem" in told:
        raise LedgerDiverged(f"what is kept cannot be exported, verify the ledger: {told['problem']}")
    return Filed(bytes.fromhex(told["root"]), bytes.fromhex(told["sums"]))
