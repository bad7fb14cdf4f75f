"""The Python client's verifier, held to `tests/vectors/ledger.json` as the conformance script asks."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from provost_sdk.note import Checkpoint, NotProved, open_note, read_key
from provost_sdk.proofs import check_consistency, check_inclusion, hash_leaf, leaf_of


def vectors(path: Path) -> Counter[str]:
    """How many of each kind came out as they should. Raises AssertionError, NotProved: one did not."""
    given: dict[str, Any] = json.loads(path.read_text("utf-8"))
    count: Counter[str] = Counter()

    def refused(check: Callable[..., object], *given: object) -> None:
        try:
            check(*given)
        except NotProved:
            count["refused"] += 1
        else:
            raise AssertionError("what is wrong was believed")

    heads = [Checkpoint("log", size, bytes.fromhex(root)) for size, root in enumerate(given["roots"])]
    hashes = [hash_leaf(bytes.fromhex(each)) for each in given["entries"]]
    for each in given["leaves"]:
        subject, header, payload, data = (
            b64decode(each[k]) for k in ("subject", "header", "payload", "data")
        )
        assert leaf_of(subject, header, sha256(payload).digest()) == data
        assert hash_leaf(data).hex() == each["hash"]
        count["leaves"] += 1
    for each in given["inclusion"]:
        index, head = each["index"], heads[each["size"]]
        path_ = [bytes.fromhex(hash_) for hash_ in each["path"]]
        check_inclusion(hashes[index], index, path_, head)
        refused(check_inclusion, hashes[index], index + 1, path_, head)
        refused(check_inclusion, hashes[index], index, [*path_, bytes(32)], head)
        count["inclusion"] += 1
    for each in given["consistency"]:
        old, new = heads[each["old"]], heads[each["new"]]
        path_ = [bytes.fromhex(hash_) for hash_ in each["path"]]
        check_consistency(old, new, path_)
        refused(check_consistency, old, new, [*path_, bytes(32)])
        count["consistency"] += 1
    for each in given["notes"]:
        key = read_key(each["key"])
        assert open_note(each["note"], key) == each["text"]
        refused(open_note, each["note"].replace("your problem", "my problem"), key)
        count["notes"] += 1
    return count
