"""The signer: an Ed25519 key in a file, and the last head it signed in another, outside the ledger's database.

Whatever happens to the database, this file is what the tree must still agree with. It is on the disk before a signature
leaves, and it is read again before each one, so that two processes cannot sign two histories.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from chassis import files
from kernel.faults import Unavailable
from services.ledger.domain import checkpoint as notes
from services.ledger.domain.checkpoint import Checkpoint, MalformedNote, VerifierKey
from services.ledger.domain.export import Plan, manifest
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.proofs import consistent
from services.ledger.domain.records import SignedHead

T = TypeVar("T")


class FileSigner:
    """Implements `ports.Signer`; `origin` is the log's name and the key's.

    Raises:
        PermissionError, ValueError: the key file is readable by others, or holds no Ed25519 key.
    """

    def __init__(self, origin: str, key_path: Path, head_path: Path) -> None:
        self._private = _load_or_create(key_path)
        self._key = VerifierKey(origin, self._private.public_key().public_bytes_raw())
        self._path = head_path
        files.private_directory(head_path.parent)

    @property
    def key(self) -> VerifierKey:
        return self._key

    @property
    def last(self) -> SignedHead | None:
        return self._read()

    def opens(self, note: str) -> Checkpoint:
        return notes.open_checkpoint(note, self._key, verify)

    async def sign(
        self, checkpoint: Checkpoint, after: int, path: Sequence[bytes], at: datetime
    ) -> SignedHead:
        return await self._alone(lambda: self._sign(checkpoint, after, path, at))

    async def sign_export(self, plan: Plan, head: SignedHead, sums: bytes) -> str:
        if self.opens(head.note) != plan.head:
            raise MalformedNote("it is not the head that was exported")
        return notes.sign_note(manifest(plan, sums), self._key, self._private.sign)

    async def adopt(self, head: SignedHead) -> None:
        self.opens(head.note)

        def adopt() -> None:
            if self._read() is None:
                self._write(head.note)

        await self._alone(adopt)

    def _sign(self, checkpoint: Checkpoint, after: int, path: Sequence[bytes], at: datetime) -> SignedHead:
        last = self._read()
        if last is not None and last.checkpoint.size != after:
            raise WriterFenced(after)
        if last is not None:
            self._check(last.checkpoint, checkpoint, path)
        note = notes.sign_note(checkpoint.text, self._key, self._private.sign)
        self._write(note)
        return SignedHead(checkpoint, note, at)

    def _check(self, last: Checkpoint, new: Checkpoint, path: Sequence[bytes]) -> None:
        if new.size < last.size:
            raise LedgerDiverged(
                f"a head over {last.size} leaves was signed; one over {new.size} would go back behind it"
            )
        if not consistent(old=last.size, new=new.size, path=path, old_root=last.root, new_root=new.root):
            raise LedgerDiverged(
                f"the tree of {new.size} leaves is not proved to begin with the signed one of {last.size}"
            )

    def _read(self) -> SignedHead | None:
        try:
            note = self._path.read_text(encoding="utf-8")
            modified = self._path.stat().st_mtime
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise LedgerDiverged(f"{self._path} does not hold a signed head") from None
        try:
            head = self.opens(note)
        except MalformedNote as problem:
            raise LedgerDiverged(
                f"{self._path} does not hold a head of this log and key: {problem}"
            ) from None
        return SignedHead(head, note, datetime.fromtimestamp(modified, UTC))

    def _write(self, note: str) -> None:
        files.replace(self._path, note.encode())
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    async def _alone(self, call: Callable[[], T]) -> T:
        def run() -> T:
            with _locked(self._path.with_name("lock")):
                return call()

        try:
            return await asyncio.to_thread(run)
        except OSError as problem:
            raise Unavailable(
                "STORE_UNREACHABLE", f"the signer cannot keep its last head: {problem}"
            ) from problem


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the Ed25519 signature (RFC 8032) of `message` by `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _load_or_create(path: Path) -> Ed25519PrivateKey:
    def create() -> bytes:
        key = Ed25519PrivateKey.generate()
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    files.create_once(path, create)
    key = load_pem_private_key(files.read_secret(path), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} does not hold an Ed25519 private key")
    return key


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
