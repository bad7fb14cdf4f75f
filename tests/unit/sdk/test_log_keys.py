"""The history of a log's keys, as the ledger writes it and by the SDK's own reading of it."""

from pathlib import Path

import pytest

from provost_sdk.log_keys import read_key_history, read_keys
from provost_sdk.note import Key, NotProved, open_checkpoint, open_note, read_key, signed_by
from services.ledger.adapters.keyring import KeyFiles
from services.ledger.domain.checkpoint import Checkpoint, VerifierKey, sign_with
from services.ledger.domain.keyring import Signers
from tests.unit.ledger.story import BEGIN

ORIGIN = "provost.local/main"


class Changed:
    """A log whose first key was retired at 5 leaves, and whose second and third sign."""

    def __init__(self, home: Path) -> None:
        files = KeyFiles(ORIGIN, home / "keys" / "ledger.key", home / "signer" / "keys")
        files.begin(BEGIN)
        self.signers: list[Signers] = [files.signers()]
        files.introduce(5, BEGIN)
        files.retire(5, BEGIN)
        self.signers.append(files.signers())
        files.introduce(9, BEGIN)
        self.signers.append(files.signers()[1:])
        self.history = files.history().text

    def key(self, n: int) -> Key:
        return read_key(self.vkey(n))

    def vkey(self, n: int) -> str:
        key = self.signers[n][0][0]
        assert isinstance(key, VerifierKey)
        return key.text

    def note(self, size: int, *signers: int) -> str:
        text = Checkpoint(ORIGIN, size, bytes(32)).text
        return sign_with(text, [each for n in signers for each in self.signers[n]])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Changed:
    return Changed(tmp_path_factory.mktemp("log"))


@pytest.mark.parametrize("trusted", [(0,), (1,), (2,), (0, 1, 2)])
def test_who_trusts_one_key_comes_to_all(log: Changed, trusted: tuple[int, ...]) -> None:
    keys = read_key_history(log.history, [log.key(n) for n in trusted])
    assert [each.key_id for each in keys] == [log.key(n).key_id for n in range(3)]
    assert [each.last_size for each in keys] == [5, None, None]
    assert open_checkpoint(log.note(5, 0), keys).signers == keys[:1]
    assert open_checkpoint(log.note(9, 1, 2), keys).signers == keys[1:]
    assert open_checkpoint(log.note(9, 0, 1), keys).signers == keys[1:2]
    with pytest.raises(NotProved, match="was retired at 5 leaves and signs no head over 6"):
        open_checkpoint(log.note(6, 0), keys)


def test_who_trusts_none_comes_to_nothing(log: Changed, tmp_path: Path) -> None:
    other = Changed(tmp_path)
    with pytest.raises(NotProved, match="none of the keys that you trust"):
        read_key_history(log.history, [other.key(0)])
    with pytest.raises(NotProved):
        read_key_history(log.history, [])


def test_no_bit_of_the_history_may_change(log: Changed) -> None:
    raw, trusted = log.history.encode(), [log.key(0)]
    for at in range(len(raw)):
        for bit in (0, 5):
            changed = raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]
            with pytest.raises(NotProved):
                read_key_history(changed.decode("utf-8", "replace"), trusted)
    for more in ("\n", "x", f"\n{log.history}"):
        with pytest.raises(NotProved):
            read_key_history(log.history + more, trusted)
    for nothing in ("", "\n", "\n\n", "\n\n\n\n"):
        with pytest.raises(NotProved):
            read_key_history(nothing, trusted)


def test_a_change_may_not_be_left_out_or_moved(log: Changed) -> None:
    parts = log.history.split("\n\n")
    notes = [f"{a}\n\n{b.removesuffix(chr(10))}\n" for a, b in zip(parts[::2], parts[1::2], strict=True)]
    assert len(notes) == 4
    for wrong in (
        notes[1:],
        notes[:1] + notes[2:],
        [notes[0], notes[2], notes[1], notes[3]],
        notes[:2] + notes[3:],
    ):
        with pytest.raises(NotProved):
            read_key_history("\n".join(wrong), [log.key(0)])
    assert len(read_key_history("\n".join(notes[:2]), [log.key(0)])) == 2


def test_several_keys_are_as_good_as_one(log: Changed) -> None:
    both = read_keys(f"{log.vkey(1)}\n{log.vkey(2)}\n")
    assert both == (log.key(1), log.key(2))
    for signers in ((1,), (2,), (1, 2)):
        assert signed_by(log.note(9, *signers), both) == tuple(log.key(n) for n in signers)
    with pytest.raises(NotProved, match="not signed with the key"):
        open_note(log.note(9, 0), both)
    with pytest.raises(NotProved):
        open_note(log.note(9, 0), ())
    for nothing in ("", " \n"):
        with pytest.raises(NotProved):
            read_keys(nothing)


def test_one_bad_signature_of_a_known_key_spoils_the_note(log: Changed) -> None:
    note = log.note(9, 1, 2)
    first, second = note.splitlines()[-2:]
    wrong = (
        first.rsplit(" ", 1)[0] + " " + second.rsplit(" ", 1)[1]
    )  # the name fits, id and signature are the other's
    assert signed_by(note.replace(first, wrong), [log.key(1), log.key(2)]) == (log.key(2),)
    other = log.note(8, 1).splitlines()[-1]
    with pytest.raises(NotProved, match="does not verify"):
        open_note(note.replace(first, other), [log.key(1), log.key(2)])
