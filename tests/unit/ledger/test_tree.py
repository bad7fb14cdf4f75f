"""The tiled tree against a recursive reference straight from RFC 6962, and its proofs against every small change."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger.domain import proofs, tree
from services.ledger.domain.proofs import Range, Slice

# The eight entries, and roots after each, that Certificate Transparency's own implementations are tested with.
ENTRIES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [bytes.fromhex(each) for each in (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip


def mth(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, over leaf hashes."""
    n = len(hashes)
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return hashes[0]
    k = 1
    while k * 2 < n:
        k *= 2
    return sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def path(m: int, hashes: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    n = len(hashes)
    if n == 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    if m < k:
        return [*path(m, hashes[:k]), mth(hashes[k:])]
    return [*path(m - k, hashes[k:]), mth(hashes[:k])]


def subproof(m: int, hashes: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    n = len(hashes)
    if m == n:
        return [] if whole else [mth(hashes)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*subproof(m, hashes[:k], whole), mth(hashes[k:])]
    return [*subproof(m - k, hashes[k:], False), mth(hashes[:k])]


def leaves(n: int) -> list[bytes]:
    return [sha256(b"\x00" + n.to_bytes(8, "big")).digest() for n in range(n)]


class Kept:
    """Tiles as a ledger keeps them, and slices read back out of them."""

    def __init__(self, hashes: list[bytes], batches: list[int]) -> None:
        self.frontier = tree.Frontier()
        self.tiles: dict[tuple[int, int], tree.Tile] = {}
        at = 0
        for size in [*batches, len(hashes)]:
            self.frontier, new = tree.grow(self.frontier, hashes[at : at + size])
            for tile in new:
                assert (tile.level, tile.index) not in self.tiles
                self.tiles[tile.level, tile.index] = tile
            at += size

    def read(self, part: Slice) -> bytes:
        index, offset = divmod(part.start, tree.TILE_WIDTH)
        tile = self.tiles.get((part.level, index))
        row = tile.hashes if tile else self.frontier.levels[part.level]
        found = row[offset * 32 : (offset + part.length) * 32]
        assert len(found) == part.length * 32
        return found

    def root(self, leaves: Range) -> bytes:
        return proofs.range_root([self.read(part) for part in proofs.slices(leaves)])


def test_roots_of_the_published_entries() -> None:
    hashes = [sha256(b"\x00" + entry).digest() for entry in ENTRIES]
    for size, root in enumerate(ROOTS, 1):
        assert tree.root_of(tree.grow(tree.Frontier(), hashes[:size])[0]) == root
        assert mth(hashes[:size]) == root
    assert tree.root_of(tree.Frontier()) == sha256(b"").digest() == tree.EMPTY_ROOT


@given(size=st.integers(0, 1500), batches=st.lists(st.integers(0, 600), max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_tiles_roots_and_proofs_are_those_of_the_rfc(
    size: int, batches: list[int], data: st.DataObject
) -> None:
    hashes = leaves(size)
    kept = Kept(hashes, batches)
    assert kept.frontier.size == size
    assert tree.root_of(kept.frontier) == mth(hashes)
    for tile in kept.tiles.values():
        width = 256**tile.level
        under = [mth(hashes[(tile.index * 256 + n) * width :][:width]) for n in (0, 100, 255)]
        assert [tile.hashes[n * 32 :][:32] for n in (0, 100, 255)] == under
        assert tile.root == mth(hashes[tile.index * 256 * width :][: 256 * width])
    if not size:
        return
    seen = data.draw(st.integers(1, size))
    assert kept.root(Range(0, seen)) == mth(hashes[:seen])
    index = data.draw(st.integers(0, seen - 1))
    inclusion = [kept.root(each) for each in proofs.inclusion_ranges(index, seen)]
    assert inclusion == path(index, hashes[:seen])
    old = data.draw(st.integers(1, seen))
    consistency = [kept.root(each) for each in proofs.consistency_ranges(old, seen)]
    assert consistency == subproof(old, hashes[:seen], True)


def test_a_third_level_of_tiles() -> None:
    hashes = leaves(65_536 + 300)
    kept = Kept(hashes, [10, 65_000, 700])
    assert {level for level, _ in kept.tiles} == {0, 1}
    assert [len(level) // 32 for level in kept.frontier.levels] == [44, 1, 1]
    assert tree.root_of(kept.frontier) == mth(hashes)
    for index in (0, 255, 256, 65_535, 65_536, 65_800):
        computed = [kept.root(each) for each in proofs.inclusion_ranges(index, len(hashes))]
        assert proofs.includes(
            leaf=hashes[index], index=index, size=len(hashes), path=computed, root=mth(hashes)
        )


def test_every_inclusion_and_consistency_of_small_trees_verifies() -> None:
    hashes = leaves(33)
    for size in range(1, 34):
        root = mth(hashes[:size])
        for index in range(size):
            proof = path(index, hashes[:size])
            assert proofs.includes(leaf=hashes[index], index=index, size=size, path=proof, root=root)
        for old in range(size + 1):
            proof = subproof(old, hashes[:size], True) if old else []
            assert proofs.consistent(
                old=old, new=size, path=proof, old_root=mth(hashes[:old]), new_root=root
            ), (old, size)


@given(size=st.integers(1, 70), data=st.data())
@settings(max_examples=25, deadline=None)
def test_no_bit_of_an_inclusion_proof_may_change(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    root, proof = mth(hashes), path(index, hashes)

    def holds(leaf: bytes, at: int, of: int, path: list[bytes], root: bytes) -> bool:
        return proofs.includes(leaf=leaf, index=at, size=of, path=path, root=root)

    assert holds(hashes[index], index, size, proof, root)
    for n, hash_ in enumerate(proof):
        for flipped in flips(hash_):
            assert not holds(hashes[index], index, size, [*proof[:n], flipped, *proof[n + 1 :]], root)
    assert not any(holds(flipped, index, size, proof, root) for flipped in flips(hashes[index]))
    assert not any(holds(hashes[index], index, size, proof, flipped) for flipped in flips(root))
    assert not any(
        holds(hashes[index], other, size, proof, root) for other in range(-1, 80) if other != index
    )
    assert not holds(hashes[index], index, size, [*proof, root], root)
    for n in range(len(proof)):
        assert not holds(hashes[index], index, size, proof[:n] + proof[n + 1 :], root)


@given(new=st.integers(2, 70), data=st.data())
@settings(max_examples=25, deadline=None)
def test_no_bit_of_a_consistency_proof_may_change(new: int, data: st.DataObject) -> None:
    hashes = leaves(new)
    old = data.draw(st.integers(1, new - 1))
    old_root, new_root, proof = mth(hashes[:old]), mth(hashes), subproof(old, hashes, True)

    def holds(old: int, new: int, path: list[bytes], old_root: bytes, new_root: bytes) -> bool:
        return proofs.consistent(old=old, new=new, path=path, old_root=old_root, new_root=new_root)

    assert holds(old, new, proof, old_root, new_root)
    for n, hash_ in enumerate(proof):
        for flipped in flips(hash_):
            assert not holds(old, new, [*proof[:n], flipped, *proof[n + 1 :]], old_root, new_root)
    assert not any(holds(old, new, proof, flipped, new_root) for flipped in flips(old_root))
    assert not any(holds(old, new, proof, old_root, flipped) for flipped in flips(new_root))
    assert not holds(old, new, [*proof, new_root], old_root, new_root)
    assert not holds(old, new, proof[:-1], old_root, new_root)
    assert not holds(new, old, proof, new_root, old_root)
    assert not holds(new, new, proof, old_root, new_root)
    assert not holds(0, new, proof, old_root, new_root)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (5, 5)])
def test_equal_and_empty_trees_need_no_proof(old: int, new: int) -> None:
    hashes = leaves(new)
    assert proofs.consistency_ranges(old, new) == []
    assert proofs.consistent(old=old, new=new, path=[], old_root=mth(hashes[:old]), new_root=mth(hashes))
    other = sha256(b"another tree").digest()
    assert not proofs.consistent(old=old, new=new, path=[], old_root=other, new_root=mth(hashes))


def flips(hash_: bytes) -> list[bytes]:
    """Each of the 256 hashes that differ in one bit."""
    number = int.from_bytes(hash_, "big")
    return [(number ^ (1 << bit)).to_bytes(32, "big") for bit in range(256)]
