"""Small exports with a key of their own: made by the ledger's code, for the verifier's to be held against."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provost_sdk.note import Key, read_key
from provost_sdk.proofs import hash_leaf, leaf_of
from services.ledger.adapters.exporting.files import Files
from services.ledger.domain import export
from services.ledger.domain.checkpoint import Checkpoint, VerifierKey, sign_with
from services.ledger.domain.entry import Message
from services.ledger.domain.export import Piece, Plan
from tests.vectors import ledger as reference

ORIGIN = "provost.local/main"


class Exporter:
    """A log's key, and exports of whatever messages."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        self.verifier = VerifierKey(ORIGIN, self._private.public_key().public_bytes_raw())

    @property
    def key(self) -> Key:
        return read_key(self.verifier.text)

    def sign(self, text: str) -> str:
        return sign_with(text, [(self.verifier, self._private.sign)])

    def files(
        self, messages: Sequence[Message], *, parquet: bool = True, events_per_file: int = 300
    ) -> dict[str, bytes]:
        """Every file of an export of all of `messages`; its root is the recursive reference's."""
        hashes = [
            hash_leaf(leaf_of(each.subject.encode(), each.header, hashlib.sha256(each.payload).digest()))
            for each in messages
        ]
        head = Checkpoint(ORIGIN, len(messages), reference.mth(hashes))
        plan = Plan(head, messages[0].sequence, parquet, events_per_file)
        found: dict[str, bytes] = {}

        def emit(piece: Piece) -> None:
            found[piece.path] = found.get(piece.path, b"") + piece.data

        filed = Files(plan, iter(messages), emit).make()
        assert filed.root == head.root
        found[export.CHECKPOINT] = self.sign(head.text).encode()
        found[export.MANIFEST] = self.sign(export.manifest(plan, filed.sums)).encode()
        return found

    def resign(self, files: dict[str, bytes]) -> None:
        """What a log that has turned bad can do: sums and manifest over files that were changed."""
        lines = []
        for line in files[export.SUMS].decode().splitlines():
            path = line[66:]
            lines.append(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n")
        files[export.SUMS] = "".join(lines).encode()
        self.sign_sums(files)

    def sign_sums(self, files: dict[str, bytes]) -> None:
        """A manifest over SHA256SUMS as it is."""
        text = files[export.MANIFEST].decode().partition("\n\n")[0].split("\n")[:-1]
        sums = hashlib.sha256(files[export.SUMS]).hexdigest()
        files[export.MANIFEST] = self.sign("\n".join([*text, f"sha256sums {sums}", ""])).encode()


def write(files: dict[str, bytes], folder: Path) -> Path:
    """The files in a folder."""
    for path, data in files.items():
        whole = folder / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(data)
    return folder


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
