"""Everything that may be wrong with a proof, by kinds: those that transparency-dev/merkle tests its verifiers with, and
hashes swapped, doubled and shortened. Imports nothing of Provost; both implementations are held to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

EMPTY = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
GARBAGE = bytes(range(32))


@dataclass(frozen=True)
class Inclusion:
    leaf: bytes
    index: int
    size: int
    path: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True)
class Growth:
    old: int
    new: int
    old_root: bytes
    new_root: bytes
    path: tuple[bytes, ...]


def wrong_inclusions(right: Inclusion) -> Iterator[tuple[str, Inclusion]]:
    """Proofs that prove nothing, each with the name of its kind."""
    index, size = right.index, right.size
    for other in {index - 1, index + 1, index ^ 2, -index - 1, size, size + index, 2**63, index + 2**64} - {
        index
    }:
        yield f"index {other}", replace(right, index=other)
    # A tree of another size may well have a proof of the same shape: what a root is the root of, its signature says.
    for other in {size * 2, size // 2, index, 0, -size}:
        yield f"size {other}", replace(right, size=other)
    for flipped in flips(right.leaf):
        yield "leaf", replace(right, leaf=flipped)
    for root in (*flips(right.root), EMPTY, GARBAGE, b""):
        yield "root", replace(right, root=root)
    if right.leaf != right.root:
        yield "leaf and root swapped", replace(right, leaf=right.root, root=right.leaf)
    for kind, path in wrong_paths(right.path, right.root, right.leaf):
        yield kind, replace(right, path=path)


def wrong_growths(right: Growth) -> Iterator[tuple[str, Growth]]:
    """The same of proofs that one tree begins with another."""
    old, new = right.old, right.new
    for other in {old - 1, old + 1, old ^ 2, 0, -old, new, new + 1, 2**63} - {old}:
        yield f"old {other}", replace(right, old=other)
    for other in {new * 2, new // 2, 0, -new} - {new}:
        yield f"new {other}", replace(right, new=other)
    for root in (*flips(right.old_root), EMPTY, GARBAGE, b""):
        yield "old root", replace(right, old_root=root)
    for root in (*flips(right.new_root), EMPTY, GARBAGE, b""):
        yield "new root", replace(right, new_root=root)
    if right.old_root != right.new_root:
        yield "roots swapped", replace(right, old_root=right.new_root, new_root=right.old_root)
        yield "trees swapped", Growth(new, old, right.new_root, right.old_root, right.path)
    for kind, path in wrong_paths(right.path, right.old_root, right.new_root):
        yield kind, replace(right, path=path)


def wrong_paths(path: tuple[bytes, ...], *more: bytes) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """`path` with anything put in, taken out, moved or changed."""
    for added in (b"", GARBAGE, EMPTY, *more):
        for at in range(len(path) + 1):
            yield f"one more at {at}", (*path[:at], added, *path[at:])
    for at, hash_ in enumerate(path):
        yield f"without {at}", path[:at] + path[at + 1 :]
        yield f"from {at + 1} on", path[at + 1 :]
        yield f"twice {at}", (*path[: at + 1], *path[at:])
        for changed in (*flips(hash_), hash_[:-1], hash_ + b"\0", hash_[::-1], b"", *more):
            if changed != hash_:
                yield f"changed {at}", (*path[:at], changed, *path[at + 1 :])
        for other in range(at):
            if path[other] != hash_:
                swapped = list(path)
                swapped[at], swapped[other] = swapped[other], swapped[at]
                yield f"swapped {other} and {at}", tuple(swapped)
    if path[::-1] != path:
        yield "backwards", path[::-1]


def flips(raw: bytes) -> Iterator[bytes]:
    """The values that differ in one bit of each byte, another one from byte to byte."""
    return (raw[:at] + bytes([each ^ (1 << at % 8)]) + raw[at + 1 :] for at, each in enumerate(raw))
