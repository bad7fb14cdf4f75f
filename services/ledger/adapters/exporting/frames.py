"""What goes between the ledger and the process that makes an export's files: frames over pipes, in both directions."""

import struct
from collections.abc import Iterator, Sequence
from typing import IO

from services.ledger.domain.entry import Message
from services.ledger.domain.export import Piece

_MESSAGE = struct.Struct(">QIII")
_PIECE_BYTES = 256 * 1024
PIECE = struct.Struct(">HIQ")


def pack_messages(messages: Sequence[Message]) -> Iterator[bytes]:
    """Messages, each behind its sequence and the lengths of its parts; in pieces."""
    parts: list[bytes] = []
    n_bytes = 0
    for sequence, subject, header, payload in messages:
        raw = subject.encode()
        parts += (_MESSAGE.pack(sequence, len(raw), len(header), len(payload)), raw, header, payload)
        n_bytes += len(header) + len(payload)
        if n_bytes >= _PIECE_BYTES:
            yield b"".join(parts)
            parts, n_bytes = [], 0
    yield b"".join(parts)


def read_messages(pipe: IO[bytes]) -> Iterator[Message]:
    """Messages until the pipe ends. Raises EOFError: it ends inside one."""
    while head := pipe.read(_MESSAGE.size):
        sequence, *lengths = _MESSAGE.unpack(whole(head, _MESSAGE.size))
        subject, header, payload = (whole(pipe.read(each), each) for each in lengths)
        yield Message(sequence, subject.decode(), header, payload)


def pack_piece(piece: Piece) -> bytes:
    """A piece of a file behind its lengths and the number of events done."""
    path = piece.path.encode()
    return PIECE.pack(len(path), len(piece.data), piece.events) + path + piece.data


def whole(read: bytes, n_bytes: int) -> bytes:
    """What was read, if it is all that was asked for. Raises EOFError."""
    if len(read) != n_bytes:
        raise EOFError("the pipe has ended inside a frame")
    return read
