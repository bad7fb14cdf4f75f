"""The signer: its head is on the disk before a signature leaves, and it neither goes back nor forks."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from kernel.faults import Unavailable
from services.ledger.adapters.keyring import verify
from services.ledger.adapters.signer import FileSigner
from services.ledger.domain import checkpoint as notes
from services.ledger.domain import proofs, tree
from services.ledger.domain.checkpoint import Checkpoint, MalformedNote
from services.ledger.domain.entry import entry_of
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.records import SignedHead
from tests.unit.ledger.story import BEGIN, plain, plains

ORIGIN = "provost.local/main"
LEAVES = [entry_of(each).leaf_hash for each in plains(20)]


@pytest.fixture
def head_file(tmp_path: Path) -> Path:
    return tmp_path / "signer" / "head"


@pytest.fixture
def signer(tmp_path: Path, head_file: Path) -> FileSigner:
    return FileSigner(ORIGIN, tmp_path / "keys" / "ledger.key", head_file)


def again(signer: FileSigner, head_file: Path) -> FileSigner:
    return FileSigner(ORIGIN, head_file.parent.parent / "keys" / "ledger.key", head_file)


def head(size: int, leaves: Sequence[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint(ORIGIN, size, tree.root_of(tree.grow(tree.Frontier(), leaves[:size])[0]))


def path(old: int, new: int, leaves: Sequence[bytes] = LEAVES) -> list[bytes]:
    def root(begin: int, end: int) -> bytes:
        parts = [
            b"".join(leaves[s.start << (8 * s.level) :][: s.length])
            for s in proofs.slices(proofs.Range(begin, end))
        ]
        return proofs.range_root(parts)

    return [root(*each) for each in proofs.consistency_ranges(old, new)]


def last(signer: FileSigner) -> Checkpoint | None:
    return None if signer.last is None else signer.last.checkpoint


async def test_it_signs_what_grows_and_remembers_it(signer: FileSigner, head_file: Path) -> None:
    assert last(signer) is None
    for old, new in ((0, 3), (3, 8), (8, 8), (8, 20)):
        signed = await signer.sign(head(new), old, path(old, new), BEGIN)
        assert last(signer) == signed.checkpoint == head(new)
        assert head_file.read_text() == signed.note
        assert notes.open_checkpoint(signed.note, notes.parse_verifier_key(signer.key.text), verify) == head(
            new
        )
    later = again(signer, head_file)
    assert later.key == signer.key
    assert last(later) == head(20)
    assert head_file.stat().st_mode & 0o777 == 0o600


async def test_it_does_not_go_back(signer: FileSigner, head_file: Path) -> None:
    await signer.sign(head(8), 0, [], BEGIN)
    for each in (signer, again(signer, head_file)):
        with pytest.raises(LedgerDiverged, match="go back"):
            await each.sign(head(7), 8, [], BEGIN)
    assert last(signer) == head(8)


async def test_it_does_not_fork(signer: FileSigner) -> None:
    await signer.sign(head(8), 0, [], BEGIN)
    forged = [*LEAVES[:4], entry_of(plain(99)).leaf_hash, *LEAVES[5:]]
    for size, proof in ((20, path(8, 20, forged)), (8, []), (20, path(8, 20)), (20, [])):
        with pytest.raises(LedgerDiverged, match="not proved"):
            await signer.sign(head(size, forged), 8, proof, BEGIN)
    with pytest.raises(LedgerDiverged, match="not proved"):
        await signer.sign(head(20), 8, path(8, 20)[1:], BEGIN)
    await signer.sign(head(20), 8, path(8, 20), BEGIN)


async def test_of_two_signers_the_slower_one_proves_anew(signer: FileSigner, head_file: Path) -> None:
    other = again(signer, head_file)
    await signer.sign(head(5), 0, [], BEGIN)
    with pytest.raises(WriterFenced):
        await other.sign(head(6), 0, [], BEGIN)
    await other.sign(head(6), 5, path(5, 6), BEGIN)


async def test_a_lost_memory_is_taken_over_from_the_book(signer: FileSigner, head_file: Path) -> None:
    signed = await signer.sign(head(8), 0, [], BEGIN)
    head_file.unlink()
    later = again(signer, head_file)
    with pytest.raises(MalformedNote):
        await later.adopt(SignedHead(head(9), signed.note.replace("\n8\n", "\n9\n"), BEGIN))
    assert last(later) is None
    await later.adopt(signed)
    assert last(later) == head(8)
    await later.sign(head(9), 8, path(8, 9), BEGIN)
    await later.adopt(signed)
    assert last(later) == head(9)


@pytest.mark.parametrize("content", ["", "provost.local/main\n8\n", "\xff", "x" * 200])
async def test_a_head_that_is_none_is_refused(signer: FileSigner, head_file: Path, content: str) -> None:
    head_file.write_text(content, encoding="latin-1")
    later = again(signer, head_file)
    with pytest.raises(LedgerDiverged):
        last(later)
    with pytest.raises(LedgerDiverged):
        await later.sign(head(8), 0, [], BEGIN)


async def test_a_head_of_another_key_is_refused(signer: FileSigner, head_file: Path, tmp_path: Path) -> None:
    await signer.sign(head(8), 0, [], BEGIN)
    other = tmp_path / "other" / "head"
    other.parent.mkdir()
    head_file.rename(other)
    with pytest.raises(LedgerDiverged, match="not signed by"):
        last(FileSigner(ORIGIN, tmp_path / "other.key", other))


async def test_another_key_does_not_sign_for_the_log(
    signer: FileSigner, head_file: Path, tmp_path: Path
) -> None:
    await signer.sign(head(8), 0, [], BEGIN)
    later = FileSigner(ORIGIN, tmp_path / "other.key", head_file)
    assert last(later) == head(8)
    with pytest.raises(LedgerDiverged, match="the private half"):
        await later.sign(head(9), 8, path(8, 9), BEGIN)


async def test_without_a_place_for_the_head_nothing_is_signed(signer: FileSigner, head_file: Path) -> None:
    head_file.mkdir()  # a folder stands where it belongs
    with pytest.raises(Unavailable):
        await signer.sign(head(8), 0, [], BEGIN)
    head_file.rmdir()
    assert last(signer) is None
