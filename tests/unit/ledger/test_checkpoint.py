"""Checkpoints and notes, against the examples that C2SP and Go's `sumdb/note` publish."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.ledger.domain import checkpoint
from services.ledger.domain.checkpoint import Checkpoint, MalformedNote, VerifierKey

# golang.org/x/mod/sumdb/note: key, text and signature of its own tests.
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = (
    TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The examples of c2sp.org/tlog-checkpoint and c2sp.org/signed-note.
BEHIND_THE_SOFA = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""
QUASIMODO = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore \
NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_gos_note_is_made_byte_for_byte_and_opens() -> None:
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(SKEY.split("+", 4)[4])[1:])
    key = checkpoint.parse_verifier_key(VKEY)
    assert key.text == VKEY
    assert private.public_key().public_bytes_raw() == key.public_key
    assert checkpoint.sign_with(TEXT, [(key, private.sign)]) == SIGNED
    assert checkpoint.open_note(SIGNED, key, verify) == TEXT


def test_the_published_checkpoint_and_note_are_read() -> None:
    text, (signature,) = checkpoint.parse_note(BEHIND_THE_SOFA)
    assert signature.name == "example.com/behind-the-sofa"
    read = checkpoint.parse_checkpoint(text)
    assert (read.origin, read.size) == ("example.com/behind-the-sofa", 20852163)
    assert read.root == base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    assert read.text == text
    text, (signature,) = checkpoint.parse_note(QUASIMODO)
    assert text.endswith("\n\ned è subito sera.\n")
    assert (signature.name, len(signature.signature)) == ("quasimodo.example/salvatore", 64)


def test_every_changed_character_is_noticed() -> None:
    key = checkpoint.parse_verifier_key(VKEY)
    for at, character in enumerate(SIGNED):
        for other in {chr(ord(character) ^ 1), chr(ord(character) ^ 32)}:
            with pytest.raises(MalformedNote):
                checkpoint.open_note(SIGNED[:at] + other + SIGNED[at + 1 :], key, verify)
        with pytest.raises(MalformedNote):
            checkpoint.open_note(SIGNED[:at] + SIGNED[at + 1 :], key, verify)


def test_signatures_of_strangers_are_passed_over() -> None:
    key = checkpoint.parse_verifier_key(VKEY)
    stranger = checkpoint.parse_note(QUASIMODO)[1][0]
    line = base64.b64encode(stranger.key_id + stranger.signature).decode()
    assert checkpoint.open_note(SIGNED + f"— {stranger.name} {line}\n", key, verify) == TEXT
    with pytest.raises(MalformedNote, match="not signed by PeterNeumann"):
        checkpoint.open_note(f"{TEXT}\n— {stranger.name} {line}\n", key, verify)


def test_mangled_verifier_keys_are_refused() -> None:
    for begin in range(len(VKEY)):
        for end in range(begin + 1, len(VKEY) + 1):
            if (begin, end) != (0, len(VKEY)):
                with pytest.raises(MalformedNote):
                    checkpoint.parse_verifier_key(VKEY[begin:end])
    for wrong in (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ):
        with pytest.raises(MalformedNote):
            checkpoint.parse_verifier_key(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jx\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedNote):
        checkpoint.parse_checkpoint(text)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    private = Ed25519PrivateKey.generate()
    key = VerifierKey("provost.local/main", private.public_key().public_bytes_raw())
    ours = checkpoint.sign_with(Checkpoint(key.name, 7, bytes(32)).text, [(key, private.sign)])
    assert checkpoint.open_checkpoint(ours, key, verify) == Checkpoint(key.name, 7, bytes(32))
    theirs = checkpoint.sign_with(Checkpoint("provost.local/other", 7, bytes(32)).text, [(key, private.sign)])
    with pytest.raises(MalformedNote, match="provost.local/other"):
        checkpoint.open_checkpoint(theirs, key, verify)


def test_an_extension_line_is_passed_over() -> None:
    text = Checkpoint("origin", 0, bytes(32)).text + "extension\n"
    assert checkpoint.parse_checkpoint(text) == Checkpoint("origin", 0, bytes(32))
