"""Changing the keys of a log: both sign for a while, nobody can make up a key, and every step may be cut off."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.ledger.adapters.keyring import KeyFiles, verify
from services.ledger.adapters.signer import FileSigner, KeysNotChanged
from services.ledger.domain import checkpoint as notes
from services.ledger.domain import keyring
from services.ledger.domain.checkpoint import MalformedNote, VerifierKey
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.records import SignedHead
from tests.unit.ledger.story import BEGIN
from tests.unit.ledger.test_signer import ORIGIN, head, path


class Cut(BaseException):
    """The process is gone."""


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], FileSigner]:
    """A new process over the same files."""
    return lambda: FileSigner(ORIGIN, tmp_path / "keys" / "ledger.key", tmp_path / "signer" / "head")


async def signed(signer: FileSigner, old: int, new: int) -> SignedHead:
    return await signer.sign(head(new), old, path(old, new), BEGIN)


def opens(note: str, key: VerifierKey) -> bool:
    try:
        return notes.open_checkpoint(note, key, verify).origin == ORIGIN
    except MalformedNote:
        return False


async def test_both_sign_until_the_older_is_retired(make: Callable[[], FileSigner], tmp_path: Path) -> None:
    running = make()  # a ledger that goes on while the command is used
    before = await signed(running, 0, 5)
    (old,) = running.keys
    operator = make()
    new = await operator.introduce(BEGIN)
    assert list(running.keys) == [old, new]
    assert running.key == new != old
    assert await make().introduce(BEGIN) == new
    last = make().last
    assert last is not None
    assert last.checkpoint == head(5)
    assert [opens(each, key) for each in (before.note, last.note) for key in (old, new)] == [1, 0, 1, 1]
    overlap = await signed(running, 5, 9)
    assert opens(overlap.note, old)
    assert opens(overlap.note, new)
    assert await make().retire(BEGIN) == new
    after = await signed(running, 9, 20)
    assert (opens(after.note, old), opens(after.note, new)) == (False, True)
    assert list(running.keys) == list(make().keys) == [new]
    for note in (before.note, overlap.note, after.note):
        assert running.opens(note) == make().opens(note)
    with pytest.raises(LedgerDiverged, match="go back"):
        await make().sign(head(8), 20, [], BEGIN)
    assert sorted(each.name for each in (tmp_path / "keys").iterdir()) == ["ledger.key"]


async def test_a_third_key_follows_the_second(make: Callable[[], FileSigner]) -> None:
    signer = make()
    size = 0
    for n in range(1, 4):
        await signed(signer, size, size + 5)
        size += 5
        await signer.introduce(BEGIN)
        await signer.retire(BEGIN)
        history = keyring.read_history(signer.key_history, ORIGIN, verify)
        assert (len(history.ever), len(history.active)) == (n + 1, 1)
        assert history.retired_at(history.ever[-2]) == size
    assert (await signed(signer, 15, 20)).checkpoint == head(20)


async def test_a_retired_key_signs_nothing_larger(make: Callable[[], FileSigner], tmp_path: Path) -> None:
    signer = make()
    stolen = keyring_files(tmp_path).signers()
    await signed(signer, 0, 5)
    await signer.introduce(BEGIN)
    await signer.retire(BEGIN)
    assert signer.opens(notes.sign_with(head(5).text, stolen)) == head(5)
    with pytest.raises(MalformedNote, match="was retired at 5 leaves and signs none of 6"):
        signer.opens(notes.sign_with(head(6).text, stolen))


async def test_nothing_is_retired_before_another_key_signs(make: Callable[[], FileSigner]) -> None:
    signer = make()
    with pytest.raises(KeysNotChanged, match="one key signs"):
        await signer.retire(BEGIN)
    old_head = (await signed(signer, 0, 5)).note
    await signer.introduce(BEGIN)
    signer._write(old_head)  # as if it had been cut off before the head was signed anew
    with pytest.raises(KeysNotChanged, match="does not bear the new key's signature"):
        await signer.retire(BEGIN)
    await signer.introduce(BEGIN)
    await signer.retire(BEGIN)


@pytest.mark.parametrize("step", ["introduce", "retire"])
@pytest.mark.parametrize("cut_before", range(12))
async def test_every_step_may_be_cut_off_and_made_again(
    make: Callable[[], FileSigner], monkeypatch: pytest.MonkeyPatch, step: str, cut_before: int
) -> None:
    """Cut off before the n-th change of a directory: all signs and opens afterwards, and the step is made again."""
    signer = make()
    await signed(signer, 0, 5)
    if step == "retire":
        await signer.introduce(BEGIN)
    left = cut_before

    def cutting(call: Callable[..., object]) -> Callable[..., object]:
        def cut(*given: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Cut
            return call(*given, **more)

        return cut

    with monkeypatch.context() as patch:
        for name in ("link", "unlink", "replace", "rename", "fsync"):
            patch.setattr(os, name, cutting(getattr(os, name)))
        try:
            await getattr(signer, step)(BEGIN)
        except Cut:
            pass
    later = make()
    last = later.last
    assert last is not None
    assert last.checkpoint == head(5)
    note = (await signed(later, 5, 9)).note
    assert all(opens(note, key) for key in later.keys)
    try:
        await getattr(make(), step)(BEGIN)
    except KeysNotChanged:
        assert (step, len(make().keys)) == ("retire", 1)  # it was complete
    assert len(make().keys) == (2 if step == "introduce" else 1)
    assert (await signed(make(), 9, 20)).checkpoint == head(20)


async def test_no_character_of_the_history_may_change(make: Callable[[], FileSigner]) -> None:
    signer = make()
    await signed(signer, 0, 5)
    await signer.introduce(BEGIN)
    await signer.retire(BEGIN)
    text = signer.key_history
    assert keyring.read_history(text, ORIGIN, verify).text == text
    for at, character in enumerate(text):
        for other in (chr(ord(character) ^ 1), ""):
            with pytest.raises(MalformedNote):
                keyring.read_history(text[:at] + other + text[at + 1 :], ORIGIN, verify)
    whole = [0, *(at + 1 for at in range(len(text)) if text[at : at + 2] == "\n\n" and text[at + 2] != "—")]
    assert len(whole) == 3
    for end in range(len(text)):
        if end not in whole[1:]:
            with pytest.raises(MalformedNote):
                keyring.read_history(text[:end], ORIGIN, verify)
    for more in ("\n", "x", f"\n{text}"):
        with pytest.raises(MalformedNote):
            keyring.read_history(text + more, ORIGIN, verify)
    with pytest.raises(MalformedNote):
        keyring.read_history(text, "provost.local/other", verify)


async def test_nobody_lets_a_key_in_or_out_without_a_key(
    make: Callable[[], FileSigner], tmp_path: Path
) -> None:
    signer = make()
    ours = keyring_files(tmp_path).signers()
    history = keyring.read_history(signer.key_history, ORIGIN, verify)
    (theirs,) = keyring_files(tmp_path / "theirs").signers()
    new = theirs[0]

    def introduced(*signers: object) -> None:
        change = keyring.Change(keyring.INTRODUCED, new, 5, "2026-01-01T00:00:00Z")
        keyring.changed(history, change, signers, verify)  # type: ignore[arg-type]

    introduced(*ours, theirs)
    for signers in ((), (theirs,), ours):
        with pytest.raises(MalformedNote):
            introduced(*signers)
    for act, key, at in (
        (keyring.RETIRED, ours[0][0], "2026-01-01T00:00:00Z"),
        (keyring.RETIRED, new, "2026-01-01T00:00:00Z"),
        (keyring.INTRODUCED, ours[0][0], "2026-01-01T00:00:00Z"),
        (keyring.INTRODUCED, VerifierKey("another.log/x", new.public_key), "2026-01-01T00:00:00Z"),
        (keyring.INTRODUCED, new, "yesterday"),
        ("replaced", new, "2026-01-01T00:00:00Z"),
    ):
        with pytest.raises(MalformedNote):
            keyring.changed(history, keyring.Change(act, key, 5, at), [*ours, theirs], verify)


async def test_a_change_of_keys_is_no_checkpoint(make: Callable[[], FileSigner]) -> None:
    signer = make()
    with pytest.raises(MalformedNote):
        signer.opens(signer.key_history)


async def test_without_its_private_half_nothing_is_signed(
    make: Callable[[], FileSigner], tmp_path: Path
) -> None:
    signer = make()
    await signed(signer, 0, 5)
    (tmp_path / "keys" / "ledger.key").unlink()
    with pytest.raises(LedgerDiverged, match="the private half of provost.local/main"):
        await signed(make(), 5, 9)


@pytest.mark.parametrize("content", ["", "nonsense", "provost.local/main/keys\n", "\xff"])
async def test_a_history_that_is_none_stops_the_signer(
    make: Callable[[], FileSigner], tmp_path: Path, content: str
) -> None:
    signer = make()
    await signed(signer, 0, 5)
    (tmp_path / "signer" / "keys").write_text(content, encoding="latin-1")
    for each in (signer, make()):
        with pytest.raises(LedgerDiverged, match="is no history of this log's keys"):
            await signed(each, 5, 9)
        with pytest.raises(LedgerDiverged):
            _ = each.last


def keyring_files(home: Path) -> KeyFiles:
    files = KeyFiles(ORIGIN, home / "keys" / "ledger.key", home / "signer" / "keys")
    files.begin(BEGIN)
    return files
