"""The two processes that fill a draft: `python -m services.ledger.adapters.sqlite.drafting FILE`.

A rebuild keeps processors busy while the ledger goes on: what the draft costs must not be taken from its event loop.
The one that is started takes messages in at the edge; a child of it writes what came before them into the database.
So an append is answered when the one before it is written, and whatever else is asked when all are.

Asked over standard input and answering over standard output, one thing after another, each a length (four bytes,
big-endian) and a value of `marshal`: both ends are one program of one Python.
"""

import fcntl
import gc
import marshal
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from chassis.orphans import die_with_parent
from kernel.faults import Fault
from services.ledger.adapters.sqlite.disk import remove
from services.ledger.adapters.sqlite.heads import keep_head
from services.ledger.adapters.sqlite.tiles import read_slices
from services.ledger.adapters.sqlite.writer import Writer
from services.ledger.adapters.sqlite.written import packed, unpacked, written
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Message, Row, time_of
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.growth import Edge
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.records import SignedHead
from services.ledger.wire.understanding import understand

LENGTH_BYTES = 4
_PIPE_BYTES = 1024 * 1024
Told = tuple[int, int, bytes]
# Its own constructor, written in Python, takes three times as long.
_message: Callable[[tuple[object, ...]], Message] = partial(tuple.__new__, Message)


def pack(value: Any) -> bytes:
    """A value as one frame."""
    body = marshal.dumps(value, 2)  # version 2 looks for no value that occurs twice: half the time
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def answer(writer: Writer, asked: str, value: Any) -> Any:
    """What the process that writes answers when `asked` is called with `value`."""
    match asked:
        case "position":
            return _told(writer.position)
        case "ending":
            position, rows, upper = writer.ending()
            return _told(position), list(map(tuple, rows)), upper
        case "write":
            writer.write(unpacked(value))
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


class Taking:
    """The edge, one batch ahead of the process that writes."""

    def __init__(self, asking: BinaryIO, answers: BinaryIO) -> None:
        self._asking = asking
        self._answers = answers
        self._edge: Edge | None = None
        self._under_way = False

    def answer(self, asked: str, value: Any) -> tuple[Any, ...]:
        """The whole answer, fault or not.

        Raises:
            EOFError: the process that writes has ended.
        """
        try:
            if asked == "append":
                return "answer", self._append(list(map(_message, value)))
            self._settle()
            return "answer", self._asked(asked, value)
        except Fault as fault:
            self._edge = None
            return _faulty(fault)
        except _Faulty as fault:
            self._edge = None
            return fault.answer

    def _append(self, messages: list[Message]) -> Told:
        if self._edge is None:
            self._settle()
            position, rows, upper = self._asked("ending", None)
            self._edge = Edge(Position(*position), list(map(Row._make, rows)), upper, understand)
        old = self._edge.position
        batch = self._edge.take(messages)
        self._settle()
        if batch.position != old:
            self._ask("write", packed(written(old, batch)))
            self._under_way = True
        return _told(batch.position)

    def _settle(self) -> None:
        if self._under_way:
            self._under_way = False
            self._answer()

    def _asked(self, asked: str, value: Any) -> Any:
        self._ask(asked, value)
        return self._answer()

    def _ask(self, asked: str, value: Any) -> None:
        self._asking.write(pack((asked, value)))
        self._asking.flush()

    def _answer(self) -> Any:
        told = _read(self._answers)
        if told is None:
            raise EOFError("the process that writes the draft has ended")
        if told[0] == "fault":
            raise _Faulty(told)
        return told[1]


class _Faulty(Exception):
    """What the process that writes has answered instead."""

    def __init__(self, answer: tuple[Any, ...]) -> None:
        super().__init__()
        self.answer = answer


def _faulty(fault: Fault) -> tuple[Any, ...]:
    return "fault", type(fault).__name__, fault.reason, fault.text, dict(fault.facts)


def _told(position: Position) -> Told:
    return position.first, position.last, position.root


def _read(pipe: BinaryIO) -> tuple[Any, ...] | None:
    length = pipe.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    asked: tuple[Any, ...] = marshal.loads(pipe.read(int.from_bytes(length, "big")))  # noqa: S302 - our own end
    return asked


def _open(path: Path) -> Writer:
    try:
        return Writer(path, understand, draft=True)
    except LedgerDiverged:  # what an earlier rebuild has left is no good: begin anew
        remove(path)
        return Writer(path, understand, draft=True)


def _write(path: Path, asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until nobody asks any more."""
    writer: Writer | None = None
    while (each := _read(asked)) is not None:
        try:
            writer = writer or _open(path)
            told: tuple[Any, ...] = "answer", answer(writer, *each)
        except Fault as fault:
            told = _faulty(fault)
        answers.write(pack(told))
        answers.flush()
        if each[0] == "close":
            return


def wide_pipe() -> tuple[int, int]:
    """The ends to read from and to write to; a whole batch finds room in it where there is such a thing."""
    ends = os.pipe()
    with suppress(AttributeError, OSError):
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return ends


def _start(path: Path) -> tuple[int, Taking]:
    """Start the process that writes; its id, and who asks it."""
    asked, asking = wide_pipe()
    answers, answering = os.pipe()
    end_with_us = die_with_parent()
    process = os.fork()
    if process:
        os.close(asked)
        os.close(answering)
        return process, Taking(os.fdopen(asking, "wb"), os.fdopen(answers, "rb"))
    status = 1
    try:
        end_with_us()
        for other in (asking, answers, sys.stdin.fileno(), sys.stdout.fileno()):
            os.close(other)
        _write(path, os.fdopen(asked, "rb"), os.fdopen(answering, "wb"))
        status = 0
    except BaseException:  # noqa: BLE001 - it ends here, whatever it was
        traceback.print_exc()
    finally:
        os._exit(status)


def main(path: Path, asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the ledger, which ends this one
    gc.disable()  # rows are tuples without circles, and looking through a million of them costs a fifth
    process, taking = _start(path)
    while (each := _read(asked)) is not None:
        told = taking.answer(*each)
        if each[0] == "close":
            os.waitpid(process, 0)
        answers.write(pack(told))
        answers.flush()
        if each[0] == "close":
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
