"""The SDK's own verifier: the shared vectors, every single bit changed, and agreement with the ledger's leaves."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from provost_sdk.note import Checkpoint, NotProved, open_checkpoint, open_note, read_key
from provost_sdk.proofs import check_consistency, check_inclusion, hash_leaf, leaf_of
from services.ledger.domain import checkpoint as ledger_notes
from services.ledger.domain.leaf import header_lines, leaf_data
from tests.vectors import ledger as vectors

VECTORS: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))
HASHES = [sha256(b"\x00" + bytes.fromhex(each)).digest() for each in VECTORS["entries"]]
HEADS = [Checkpoint("log", size, bytes.fromhex(root)) for size, root in enumerate(VECTORS["roots"])]


def refused(check: Callable[..., object], *given: object) -> bool:
    try:
        check(*given)
    except NotProved:
        return True
    return False


def flips(raw: bytes) -> Iterator[bytes]:
    number = int.from_bytes(raw, "big")
    return ((number ^ (1 << bit)).to_bytes(len(raw), "big") for bit in range(len(raw) * 8))


def changed(path: list[bytes]) -> Iterator[list[bytes]]:
    """`path` with any one bit changed, one hash less, one more, or one cut short."""
    for at, hash_ in enumerate(path):
        yield path[:at] + path[at + 1 :]
        yield [*path[:at], hash_[:-1], *path[at + 1 :]]
        for flipped in flips(hash_):
            yield [*path[:at], flipped, *path[at + 1 :]]
    yield [*path, bytes(32)]
    yield [bytes(32), *path]


def test_leaves() -> None:
    for each in VECTORS["leaves"]:
        subject, header, payload, data = (
            b64decode(each[name]) for name in ("subject", "header", "payload", "data")
        )
        assert leaf_of(subject, header, sha256(payload).digest()) == data
        assert hash_leaf(data).hex() == each["hash"]


def test_inclusion_and_every_change_of_it() -> None:
    for each in VECTORS["inclusion"]:
        index, size = each["index"], each["size"]
        path, head, leaf = [bytes.fromhex(hash_) for hash_ in each["path"]], HEADS[size], HASHES[index]
        check_inclusion(leaf, index, path, head)
        assert all(refused(check_inclusion, leaf, index, p, head) for p in changed(path))
        assert all(refused(check_inclusion, f, index, path, head) for f in flips(leaf))
        for root in flips(head.root):
            assert refused(check_inclusion, leaf, index, path, Checkpoint("log", size, root))
        for other in range(-1, 10):
            if other != index:
                assert refused(check_inclusion, leaf, other, path, head)


def test_consistency_and_every_change_of_it() -> None:
    for each in VECTORS["consistency"]:
        old, new = HEADS[each["old"]], HEADS[each["new"]]
        path = [bytes.fromhex(hash_) for hash_ in each["path"]]
        check_consistency(old, new, path)
        assert all(refused(check_consistency, old, new, p) for p in changed(path))
        for root in flips(old.root):
            assert refused(check_consistency, Checkpoint("log", old.size, root), new, path)
        for root in flips(new.root):
            assert refused(check_consistency, old, Checkpoint("log", new.size, root), path)
        assert old.size == new.size or refused(check_consistency, new, old, path)
        assert refused(check_consistency, Checkpoint("other", old.size, old.root), new, path)


def test_an_empty_tree_is_the_beginning_of_any() -> None:
    check_consistency(HEADS[0], HEADS[5], [])
    assert refused(check_consistency, HEADS[0], HEADS[5], [bytes(32)])
    assert refused(check_consistency, Checkpoint("log", 0, bytes(32)), HEADS[5], [])


def test_notes_and_every_changed_character() -> None:
    for each in VECTORS["notes"]:
        key, note = read_key(each["key"]), each["note"]
        assert open_note(note, key) == each["text"]
        for at, character in enumerate(note):
            for other in ("", chr(ord(character) ^ 1), chr(ord(character) ^ 32)):
                with pytest.raises(NotProved):
                    open_note(note[:at] + other + note[at + 1 :], key)


def test_mangled_verifier_keys_are_refused() -> None:
    vkey = VECTORS["notes"][0]["key"]
    assert all(refused(read_key, vkey[:end]) for end in range(len(vkey)))
    for at, character in enumerate(vkey):
        other = chr(ord(character) ^ 1)
        assert refused(read_key, vkey[:at] + other + vkey[at + 1 :]), at


def test_a_checkpoint_is_that_of_the_log_the_key_is_named_after() -> None:
    private = Ed25519PrivateKey.generate()
    theirs = ledger_notes.VerifierKey("provost.local/main", private.public_key().public_bytes_raw())
    key = read_key(theirs.text)

    def signed(text: str) -> str:
        return ledger_notes.sign_with(text, [(theirs, private.sign)])

    root = ledger_notes.Checkpoint("provost.local/main", 7, bytes(32))
    assert open_checkpoint(signed(root.text), key) == Checkpoint("provost.local/main", 7, bytes(32))
    assert open_checkpoint(signed(root.text + "extension\n"), key).size == 7
    for text in (
        root.text.replace("main", "other"),
        root.text.replace("\n7\n", "\n07\n"),
        root.text.replace("\n7\n", "\n-7\n"),
        root.text.replace("\n7\n", "\n9223372036854775808\n"),
        root.text + "\n",
        "provost.local/main\n7\n",
        "provost.local/main\n7\nAAAA\n",
    ):
        with pytest.raises(NotProved):
            open_checkpoint(signed(text), key)


BLOCKS = st.lists(st.sampled_from([b"NATS/1.0", b"\r\n", b"\r", b"\n", b"a: 1", b" ", b""]), max_size=9)


@given(subject=st.binary(max_size=6), parts=BLOCKS, payload=st.binary(max_size=6))
@settings(max_examples=300, deadline=None)
def test_both_implementations_make_the_same_leaf(subject: bytes, parts: list[bytes], payload: bytes) -> None:
    assume(b"\r\n" not in subject)
    for header in (b"".join(parts), b"NATS/1.0\r\n" + b"".join(parts) + b"\r\n\r\n"):
        ours = leaf_of(subject, header, sha256(payload).digest())
        assert ours == leaf_data(subject, header, header_lines(header), payload)


@pytest.mark.parametrize("n_bytes", [65_000, 65_435, 65_436, 65_437, 65_438, 65_439, 65_440, 70_000])
def test_a_leaf_that_would_outgrow_a_bundle_is_opaque_for_both(n_bytes: int) -> None:
    header = b"NATS/1.0\r\na: %b\r\n\r\n" % (b"x" * n_bytes)
    ours = leaf_of(b"subject", header, bytes(32))
    theirs = leaf_data(b"subject", header, header_lines(header), b"")
    assert ours[:-32] == theirs[:-32]
