"""What goes from the process that simulates to the one that asked: a kind, a length, and so many bytes."""

import os
import sys
from collections.abc import Callable

PROGRESS, FAULT = b"P", b"F"
HEAD_BYTES = 5

Say = Callable[[bytes, bytes], None]
"""Tells one thing, of a kind, to who asked."""


def frame(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(HEAD_BYTES - 1, "big") + body


def head_of(raw: bytes) -> tuple[bytes, int]:
    """Kind, and how many bytes follow."""
    return raw[:1], int.from_bytes(raw[1:HEAD_BYTES], "big")


def teller() -> Say:
    """Says frames on standard output, which is theirs alone from here on; what is logged goes to policy's log."""
    frames = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(kind: bytes, body: bytes) -> None:
        frames.write(frame(kind, body))
        frames.flush()

    return say
