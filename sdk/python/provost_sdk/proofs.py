"""Whether an event is in a tree, and whether a tree grew out of another: RFC 6962, section 2.1, from its definitions.

The second implementation on purpose: the ledger's own goes bottom up (RFC 9162), this one follows the recursion of
MTH, PATH and SUBPROOF. Both are held to the same vectors. Standard library alone, no service.
"""

from collections.abc import Sequence
from hashlib import sha256

from provost_sdk.note import Checkpoint, NotProved

EMPTY = sha256(b"").digest()
MAX_LEAF_BYTES = 65_535
_CRLF = b"\r\n"


def hash_leaf(data: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours."""
    return sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def leaf_of(subject: bytes, header: bytes, payload_sha256: bytes) -> bytes:
    """What the tree commits to of a message: subject, header block as published, hash of the payload.

    `provost leaf v1`, the subject, the header lines sorted, an empty line, each ended by CRLF, then the hash; a header
    block that is none, or too long for 65,535 bytes, stands there as its hash.

    Raises:
        NotProved: the subject is two lines: what stands in the second would be a header that nobody is shown.
    """
    if _CRLF in subject:
        raise NotProved("the subject holds a line break: headers would be hidden in it")
    if header == b"":
        lines: list[bytes] | None = []
    elif header.startswith(b"NATS/1.0\r\n") and header.endswith(b"\r\n\r\n"):
        inside = header[len(b"NATS/1.0") : -2]
        lines = inside.split(_CRLF)[1:-1]
    else:
        lines = None
    if lines is not None:
        text = b"provost leaf v1\r\n" + subject + _CRLF
        text += b"".join(line + _CRLF for line in sorted(lines))
        text += _CRLF + payload_sha256
        if len(text) <= MAX_LEAF_BYTES:
            return text
    return b"provost leaf v1 opaque\r\n" + subject + _CRLF + sha256(header).digest() + payload_sha256


def check_inclusion(leaf: bytes, index: int, path: Sequence[bytes], head: Checkpoint) -> None:
    """That the leaf with hash `leaf` stands at `index` of the tree `head`. Raises NotProved: it is not proved."""
    if not 0 <= index < head.size:
        raise NotProved(f"leaf {index} is not in a tree of {head.size}")
    _lengths(path)
    if _root(leaf, index, head.size, path) != head.root:
        raise NotProved("the proof leads to another root than the one that is signed")


def check_consistency(old: Checkpoint, new: Checkpoint, path: Sequence[bytes]) -> None:
    """That the tree `new` begins with all of the tree `old`. Raises NotProved: it is not proved."""
    if old.origin != new.origin:
        raise NotProved(f"the heads are of two logs: {old.origin} and {new.origin}")
    if old.size < 0:
        raise NotProved(f"no tree has {old.size} leaves")
    if old.size > new.size:
        raise NotProved(f"the later head has {new.size} leaves, the earlier one {old.size}")
    _lengths(path)
    if old.size == 0 and path:
        raise NotProved("an empty tree needs no proof, and there is one")
    roots = (
        _roots(old.size, new.size, path, old.root) if old.size else (EMPTY, new.root if new.size else EMPTY)
    )
    if roots[0] != old.root:
        raise NotProved("the proof leads to another root than that of the earlier head")
    if roots[1] != new.root:
        raise NotProved("the proof leads to another root than that of the later head")


def _root(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """What `PATH(index, D[size])` says the root is, when it is `path`: section 2.1.1."""
    if size == 1:
        if path:
            raise NotProved("the proof has too many hashes")
        return leaf
    if not path:
        raise NotProved("the proof has too few hashes")
    k = split(size)
    if index < k:
        return hash_node(_root(leaf, index, k, path[:-1]), path[-1])
    return hash_node(path[-1], _root(leaf, index - k, size - k, path[:-1]))


def _roots(old: int, new: int, path: Sequence[bytes], known: bytes | None) -> tuple[bytes, bytes]:
    """What `SUBPROOF(old, D[new], known)` says both roots are, when it is `path`: section 2.1.2.

    `known` is the earlier root, as long as the part looked at is the whole of the earlier tree.
    """
    if old == new:
        if len(path) != (1 if known is None else 0):
            raise NotProved("the proof has too many or too few hashes")
        both = path[0] if known is None else known
        return both, both
    if not path:
        raise NotProved("the proof has too few hashes")
    k = split(new)
    if old <= k:
        left, grown = _roots(old, k, path[:-1], known)
        return left, hash_node(grown, path[-1])
    left, grown = _roots(old - k, new - k, path[:-1], None)
    return hash_node(path[-1], left), hash_node(path[-1], grown)


def _lengths(path: Sequence[bytes]) -> None:
    if any(len(each) != 32 for each in path):
        raise NotProved("the proof holds something that is no hash")
