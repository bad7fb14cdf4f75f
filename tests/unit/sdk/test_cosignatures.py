"""Cosignatures: a head of a public log as its real witnesses have signed it, and everything that must not pass."""

from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provost_sdk.cosignatures import Cosignature, cosigned, message, read_witness_key, signature_lines
from provost_sdk.note import NotProved

# A checkpoint of a public log (May 2026), cosigned by witnesses that other people run with other people's software.
REAL = (Path(__file__).parents[2] / "vectors" / "cosigned-checkpoint.txt").read_text(encoding="utf-8")
AT = 0x6A122120
LITTLE_GARDEN = (
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM"
)
SMARTIT = "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO"
REMORA = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
STAGEMOLE = "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv"
RGDD = "rgdd.se/poc-witness+db03732e+BCjJKlo6BU0xfIb8LutqerIFTWIXEA0L5n3tW3QyPFgG"
ALL = [read_witness_key(each) for each in (LITTLE_GARDEN, SMARTIT, REMORA, STAGEMOLE)]


class Witness:
    """One that signs whatever it is given."""

    def __init__(self, name: str = "witness.example/w1") -> None:
        self.name = name
        self._private = Ed25519PrivateKey.generate()
        material = b"\x04" + self._private.public_key().public_bytes_raw()
        self._id = sha256(name.encode() + b"\n" + material).digest()[:4]
        self.vkey = f"{name}+{self._id.hex()}+{b64encode(material).decode()}"
        self.key = read_witness_key(self.vkey)

    def line(self, text: str, at: int) -> str:
        signature = self._private.sign(message(text, at))
        return f"— {self.name} {b64encode(self._id + at.to_bytes(8, 'big') + signature).decode()}\n"


TEXT = f"example.com/log\n7\n{b64encode(bytes(32)).decode()}\n"
NOTE = f"{TEXT}\n— example.com/log {b64encode(bytes(68)).decode()}\n"


def test_what_real_witnesses_have_signed_verifies() -> None:
    assert cosigned(REAL, ALL) == [Cosignature(each.name, AT) for each in ALL]


def test_the_message_is_the_one_of_the_specification() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert message(text, 1679315147).decode() == (
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


@pytest.mark.parametrize("at", range(REAL.index("\n\n")))
def test_a_head_with_one_character_changed_was_signed_by_nobody(at: int) -> None:
    other = "x" if REAL[at] != "x" else "y"
    with pytest.raises(NotProved, match="does not verify"):
        cosigned(REAL[:at] + other + REAL[at + 1 :], ALL, 1)


@pytest.mark.parametrize("at", [4, 11, 12, 43, 75])
def test_a_cosignature_with_one_bit_changed_does_not_verify(at: int) -> None:
    line = next(each for each in REAL.splitlines() if "remora" in each)
    raw = bytearray(b64decode(line.split()[2]))
    raw[at] ^= 1
    with pytest.raises(NotProved, match="remora"):
        cosigned(REAL.replace(line.split()[2], b64encode(raw).decode()), ALL, 1)


def test_who_has_not_signed_is_named() -> None:
    with pytest.raises(NotProved, match=r"4 of the 5 .* not so rgdd.se/poc-witness"):
        cosigned(REAL, [*ALL, read_witness_key(RGDD)])
    assert len(cosigned(REAL, [*ALL, read_witness_key(RGDD)], 4)) == 4
    with pytest.raises(NotProved, match="0 of the 1"):
        cosigned(REAL, [read_witness_key(RGDD)], 1)


@pytest.mark.parametrize("quorum", [0, -1, 5])
def test_a_quorum_is_from_one_to_all(quorum: int) -> None:
    with pytest.raises(ValueError, match=f"quorum of {quorum}"):
        cosigned(REAL, ALL, quorum)


def test_without_witnesses_nothing_is_demanded_and_that_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="out of 0 witnesses"):
        cosigned(REAL, [])


def test_one_key_under_two_names_is_one_witness() -> None:
    one = Witness()
    with pytest.raises(ValueError, match="out of 1 witnesses"):
        cosigned(NOTE + one.line(TEXT, 1), [one.key, one.key], 2)


def test_age_is_asked_for() -> None:
    one, other = Witness("a"), Witness("b")
    note = NOTE + one.line(TEXT, 1000) + other.line(TEXT, 1500)
    keys = [one.key, other.key]
    assert [each.at for each in cosigned(note, keys, 2, 600, now=1600)] == [1500, 1000]
    assert cosigned(note, keys, 1, 200, now=1600) == [Cosignature("b", 1500)]
    with pytest.raises(NotProved, match="1 of the 2 .* within 200 seconds"):
        cosigned(note, keys, 2, 200, now=1600)
    with pytest.raises(NotProved, match="within"):
        cosigned(note, keys, 2, 600, now=1100)  # a clock far ahead says nothing of now


def test_of_several_the_newest_counts_and_one_that_is_forged_spoils_all() -> None:
    one = Witness()
    lines = [one.line(TEXT, at) for at in (5, 9, 7)]
    assert cosigned(NOTE + "".join(lines), [one.key]) == [Cosignature(one.name, 9)]
    with pytest.raises(NotProved, match="does not verify"):
        cosigned(NOTE + lines[0] + one.line(TEXT + "x\n", 9), [one.key])


def test_a_plain_signature_by_the_witness_key_is_no_cosignature() -> None:
    one = Witness()
    plain = one._private.sign(TEXT.encode())
    line = f"— {one.name} {b64encode(one.key.key_id + (0).to_bytes(8, 'big') + plain).decode()}\n"
    with pytest.raises(NotProved, match="does not verify"):
        cosigned(NOTE + line, [one.key])
    short = f"— {one.name} {b64encode(one.key.key_id + plain).decode()}\n"
    with pytest.raises(NotProved, match="not a time and"):
        cosigned(NOTE + short, [one.key])


@pytest.mark.parametrize(
    ("vkey", "problem"),
    [
        ("remora.n621.de+da77ade7", "not a verifier key"),
        ("+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "not a verifier key"),
        ("remora.n621.de+da77ade8+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "damaged"),
        ("remora.n621.dE+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "damaged"),
        ("TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6", "of a log"),
        ("remora.n621.de+da77ade7+BOvN", "Ed25519 witness"),
        ("remora.n621.de+da77ade7+*", "base64"),
    ],
)
def test_what_is_no_key_of_a_witness_is_refused(vkey: str, problem: str) -> None:
    with pytest.raises(NotProved, match=problem):
        read_witness_key(vkey)


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        TEXT + "\n",
        NOTE[:-1],
        NOTE.replace("—", "-"),
        NOTE + "— x\n",
        NOTE + "— x AAAA\n",
        NOTE + "— x AAAAAA= \n",
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(NotProved):
        signature_lines(note)
