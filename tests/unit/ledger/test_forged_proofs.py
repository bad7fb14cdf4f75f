"""Every kind of wrong proof is refused by both implementations, and both say the same of everything."""

from collections.abc import Callable
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from provost_sdk.note import Checkpoint, NotProved
from provost_sdk.proofs import check_consistency, check_inclusion
from services.ledger.domain import proofs
from tests.vectors import ledger as reference
from tests.vectors.mutations import Growth, Inclusion, wrong_growths, wrong_inclusions

HASHES = [sha256(b"\x00" + n.to_bytes(8, "big")).digest() for n in range(300)]


def refused(check: Callable[..., object], *given: object) -> bool:
    try:
        check(*given)
    except NotProved:
        return True
    return False


def ledger_says(proof: Inclusion | Growth) -> bool:
    match proof:
        case Inclusion(leaf, index, size, path, root):
            return proofs.includes(leaf=leaf, index=index, size=size, path=path, root=root)
        case Growth(old, new, old_root, new_root, path):
            return proofs.consistent(old=old, new=new, path=path, old_root=old_root, new_root=new_root)


def sdk_says(proof: Inclusion | Growth) -> bool:
    match proof:
        case Inclusion(leaf, index, size, path, root):
            return not refused(check_inclusion, leaf, index, path, Checkpoint("log", size, root))
        case Growth(old, new, old_root, new_root, path):
            heads = Checkpoint("log", old, old_root), Checkpoint("log", new, new_root)
            return not refused(check_consistency, *heads, path)


def inclusion(index: int, size: int) -> Inclusion:
    hashes = HASHES[:size]
    return Inclusion(hashes[index], index, size, tuple(reference.path(index, hashes)), reference.mth(hashes))


def growth(old: int, new: int) -> Growth:
    path = tuple(reference.subproof(old, HASHES[:new], True))
    return Growth(old, new, reference.mth(HASHES[:old]), reference.mth(HASHES[:new]), path)


def test_every_wrong_inclusion_proof_of_small_trees_is_refused() -> None:
    for size in range(1, 10):
        for index in range(size):
            hold_inclusion(inclusion(index, size))


def test_every_wrong_consistency_proof_of_small_trees_is_refused() -> None:
    for new in range(1, 10):
        for old in range(1, new + 1):
            hold_growth(growth(old, new))


@given(size=st.integers(10, 300), data=st.data())
@settings(max_examples=8, deadline=None)
def test_every_wrong_proof_of_larger_trees_is_refused(size: int, data: st.DataObject) -> None:
    hold_inclusion(inclusion(data.draw(st.integers(0, size - 1)), size))
    hold_growth(growth(data.draw(st.integers(1, size)), size))


def hold_inclusion(right: Inclusion) -> None:
    assert ledger_says(right)
    assert sdk_says(right)
    for kind, wrong in wrong_inclusions(right):
        assert not ledger_says(wrong), (kind, right.index, right.size)
        assert not sdk_says(wrong), (kind, right.index, right.size)


def hold_growth(right: Growth) -> None:
    assert ledger_says(right)
    assert sdk_says(right)
    for kind, wrong in wrong_growths(right):
        assert not ledger_says(wrong), (kind, right.old, right.new)
        assert not sdk_says(wrong), (kind, right.old, right.new)


@given(
    index=st.integers(-2, 40),
    size=st.integers(-2, 40),
    old=st.integers(-2, 40),
    of=st.integers(1, 33),
    drop=st.integers(0, 3),
)
@settings(max_examples=400, deadline=None)
def test_both_say_the_same_of_proofs_that_are_taken_for_others(
    index: int, size: int, old: int, of: int, drop: int
) -> None:
    right = inclusion(min(max(index, 0), of - 1), of)
    taken = Inclusion(right.leaf, index, size, right.path[drop:], right.root)
    assert ledger_says(taken) == sdk_says(taken)
    grown = growth(min(max(old, 1), of), of)
    other = Growth(old, size, grown.old_root, grown.new_root, grown.path[drop:])
    assert ledger_says(other) == sdk_says(other)
