"""What goes from the process that simulates to the one that asked: a kind, a length, and so many bytes."""

PROGRESS, FAULT = b"P", b"F"
HEAD_BYTES = 5


def frame(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(HEAD_BYTES - 1, "big") + body


def head_of(raw: bytes) -> tuple[bytes, int]:
    """Kind, and how many bytes follow."""
    return raw[:1], int.from_bytes(raw[1:HEAD_BYTES], "big")
