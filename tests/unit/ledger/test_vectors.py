"""The ledger's own tree, leaves and notes against the vectors that the SDK's verifier is held to as well."""

import json
from base64 import b64decode
from hashlib import sha256
from typing import Any

from services.ledger.adapters.keyring import verify
from services.ledger.domain import checkpoint, leaf, proofs
from tests.vectors import ledger as vectors

VECTORS: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))
ROOTS = [bytes.fromhex(each) for each in VECTORS["roots"]]


def test_the_file_is_what_is_rendered() -> None:
    assert vectors.render() == VECTORS


def test_leaves() -> None:
    for each in VECTORS["leaves"]:
        subject, block, payload, data = (
            b64decode(each[name]) for name in ("subject", "header", "payload", "data")
        )
        assert leaf.leaf_data(subject, block, leaf.header_lines(block), payload) == data
        assert leaf.leaf_hash(data).hex() == each["hash"]


def test_proofs() -> None:
    hashes = [sha256(b"\x00" + bytes.fromhex(each)).digest() for each in VECTORS["entries"]]
    for each in VECTORS["inclusion"]:
        index, size = each["index"], each["size"]
        path = [bytes.fromhex(hash_) for hash_ in each["path"]]
        assert proofs.includes(leaf=hashes[index], index=index, size=size, path=path, root=ROOTS[size])
    for each in VECTORS["consistency"]:
        old, new = each["old"], each["new"]
        path = [bytes.fromhex(hash_) for hash_ in each["path"]]
        assert proofs.consistent(old=old, new=new, path=path, old_root=ROOTS[old], new_root=ROOTS[new])


def test_notes() -> None:
    for each in VECTORS["notes"]:
        key = checkpoint.parse_verifier_key(each["key"])
        assert checkpoint.open_note(each["note"], key, verify) == each["text"]
