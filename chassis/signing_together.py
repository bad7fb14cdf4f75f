"""One signature for many tokens: a Merkle tree over what is to be signed, whose root alone is signed.

A signature costs 30 µs, a hash less than one. Each token carries the hashes that lead from itself to the root, so that
it is verified by itself, by public key alone, as any other. A leaf is SHA-256 over 0x00 and the token's signing input
(RFC 7515: header and payload), a node over 0x01 and its two children, the smaller first, so that a path needs no
directions; the prefixes keep one from passing for the other (RFC 6962, section 2.1). Who is left over moves up a level.
"""

from collections.abc import Sequence
from hashlib import sha256

ALGORITHM = "Ed25519-tree"
"""Not a registered one: who does not know it refuses it."""
HASH_BYTES, SIGNATURE_BYTES, MAX_LEVELS = 32, 64, 32
_WHAT = b"provost: the root of a tree of tokens\n"


def what_is_signed(root: bytes) -> bytes:
    """The bytes under the signature: no token's signing input begins like this."""
    return _WHAT + root


def tree(inputs: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The root over `inputs` (at least one), and for each its path: the hashes that lead there, one after another."""
    levels = [[sha256(b"\0" + each).digest() for each in inputs]]
    while len(level := levels[-1]) > 1:
        above = [_node(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        levels.append(above + level[-1:] if len(level) % 2 else above)
    paths = [b""]
    # From the root down: what leads there from above is the same for both children.
    for level in levels[-2::-1]:
        below: list[bytes] = []
        for n in range(0, len(level) - 1, 2):
            path = paths[n // 2]
            below += (level[n + 1] + path, level[n] + path)
        paths = below + paths[-1:] if len(level) % 2 else below
    return levels[-1][0], paths


def root_of(signed: bytes, path: bytes) -> bytes:
    """The root that `path` leads to from a token's signing input.

    Raises:
        ValueError: that is no path.
    """
    if len(path) % HASH_BYTES or len(path) > MAX_LEVELS * HASH_BYTES:
        raise ValueError("not a path")
    root = sha256(b"\0" + signed).digest()
    for at in range(0, len(path), HASH_BYTES):
        root = _node(root, path[at : at + HASH_BYTES])
    return root


def _node(one: bytes, other: bytes) -> bytes:
    return sha256(b"\1" + one + other if one < other else b"\1" + other + one).digest()
