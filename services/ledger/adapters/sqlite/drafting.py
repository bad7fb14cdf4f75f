"""The process that fills a draft: `python -m services.ledger.adapters.sqlite.drafting FILE`.

A rebuild keeps a processor busy while the ledger goes on: what the draft costs must not be taken from its event loop.
Asked over standard input and answering over standard output, one thing after another, each a length (four bytes,
big-endian) and a value of `marshal`: both ends are one program of one Python.
"""

import gc
import marshal
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from kernel.faults import Fault
from services.ledger.adapters.sqlite.heads import keep_head
from services.ledger.adapters.sqlite.tiles import read_slices
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Message, time_of
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.records import SignedHead
from services.ledger.wire.understanding import understand

LENGTH_BYTES = 4
Told = tuple[int, int, bytes]


def pack(value: Any) -> bytes:
    """A value as one frame."""
    body = marshal.dumps(value)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def answer(writer: Writer, asked: str, value: Any) -> Any:
    """What is answered when `asked` is called with `value`."""
    match asked:
        case "position":
            return _told(writer.position)
        case "append":
            return _told(writer.append(list(map(Message._make, value))))
        case "hashes":
            return read_slices(writer.execute, list(map(Slice._make, value)))
        case "keep_head":
            origin, size, root, note, at_us = value
            keep_head(writer, SignedHead(Checkpoint(origin, size, root), note, time_of(at_us)))
        case "finish":
            writer.finish()
        case "close":
            writer.close()
        case _:
            raise ValueError(f"nothing is called {asked}")
    return None


def _told(position: Position) -> Told:
    return position.first, position.last, position.root


def _read(pipe: BinaryIO) -> tuple[str, Any] | None:
    length = pipe.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    asked: tuple[str, Any] = marshal.loads(pipe.read(int.from_bytes(length, "big")))  # noqa: S302 - our own end
    return asked


def _open(path: Path) -> Writer:
    try:
        return Writer(path, understand, draft=True)
    except LedgerDiverged:  # what an earlier rebuild has left is no good: begin anew
        remove(path)
        return Writer(path, understand, draft=True)


def remove(path: Path) -> None:
    """Remove a database with what SQLite may have left beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def main(path: Path, asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the ledger, which ends this one
    gc.disable()  # rows are tuples without circles, and looking through a million of them costs a fifth
    writer: Writer | None = None
    while (each := _read(asked)) is not None:
        try:
            writer = writer or _open(path)
            told: tuple[Any, ...] = "answer", answer(writer, *each)
        except Fault as fault:
            told = "fault", type(fault).__name__, fault.reason, fault.text, dict(fault.facts)
        answers.write(pack(told))
        answers.flush()
        if each[0] == "close":
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
