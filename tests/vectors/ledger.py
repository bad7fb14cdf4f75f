"""Writes `ledger.json`: leaves, roots, proofs and notes that both implementations are held to.

`python -m tests.vectors.ledger` renders it from the definitions of RFC 6962 alone, and from what others publish: the
eight entries that Certificate Transparency's implementations are tested with, and the notes of Go's `sumdb/note` and of
c2sp.org. It imports nothing of Provost.
"""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("ledger.json")
ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
PUBLISHED_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SUBJECT = b"evt.default.policy.agent.sre-1.AgentRevoked"
BLOCKS = (
    b"",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\nce-id: 7\r\nce-aggver: 2\r\nNats-Msg-Id: 7\r\n\r\n",
    b"NATS/1.0\r\nb: 2\r\na: 1\r\na: 0\r\n\r\n",
    b"NATS/1.0\r\na: 1\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"HTTP/1.0\r\na: 1\r\n\r\n",
    b"x",
)


def mth(hashes: list[bytes]) -> bytes:
    """MTH over leaf hashes."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = _k(len(hashes))
    return sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def path(m: int, hashes: list[bytes]) -> list[bytes]:
    """PATH(m, D)."""
    if len(hashes) == 1:
        return []
    k = _k(len(hashes))
    if m < k:
        return [*path(m, hashes[:k]), mth(hashes[k:])]
    return [*path(m - k, hashes[k:]), mth(hashes[:k])]


def subproof(m: int, hashes: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D, b)."""
    if m == len(hashes):
        return [] if whole else [mth(hashes)]
    k = _k(len(hashes))
    if m <= k:
        return [*subproof(m, hashes[:k], whole), mth(hashes[k:])]
    return [*subproof(m - k, hashes[k:], False), mth(hashes[:k])]


def leaf(subject: bytes, block: bytes, payload: bytes) -> bytes:
    """The documented bytes, by a way of its own: readable blocks here are those that end in an empty line."""
    rest = sha256(payload).digest()
    if not block or (block.startswith(b"NATS/1.0\r\n") and block.endswith(b"\r\n\r\n")):
        lines = sorted(each for each in block.split(b"\r\n")[1:] if each)
        return b"\r\n".join([b"provost leaf v1", subject, *lines, b"", rest])
    return b"provost leaf v1 opaque\r\n" + subject + b"\r\n" + sha256(block).digest() + rest


def render() -> dict[str, Any]:
    """Everything in the file."""
    hashes = [sha256(b"\x00" + bytes.fromhex(each)).digest() for each in ENTRIES]
    assert mth(hashes).hex() == PUBLISHED_ROOT
    sizes = range(1, len(hashes) + 1)
    return {
        "leaves": [
            {
                "subject": _text(SUBJECT),
                "header": _text(block),
                "payload": _text(payload),
                "data": _text(data),
            }
            | {"hash": sha256(b"\x00" + data).hexdigest()}
            for block in BLOCKS
            for payload in (b"", b"payload")
            for data in (leaf(SUBJECT, block, payload),)
        ],
        "entries": ENTRIES,
        "roots": [mth(hashes[:size]).hex() for size in range(len(hashes) + 1)],
        "inclusion": [
            {"index": index, "size": size, "path": [each.hex() for each in path(index, hashes[:size])]}
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"old": old, "new": new, "path": [each.hex() for each in subproof(old, hashes[:new], True)]}
            for new in sizes
            for old in range(1, new + 1)
        ],
        "notes": [{"key": GO_KEY, "note": GO_NOTE, "text": GO_NOTE.partition("\n\n")[0] + "\n"}],
    }


def _k(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


if __name__ == "__main__":
    FILE.write_text(json.dumps(render(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
