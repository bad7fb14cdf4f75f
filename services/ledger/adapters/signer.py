"""The signer: Ed25519 keys in files, and the last head it signed in another, outside the ledger's database.

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

from chassis import files
from chassis.process import now
from kernel.faults import Unavailable
from services.ledger.adapters.keyring import KeyFiles, sync, verify
from services.ledger.domain import checkpoint as notes
from services.ledger.domain import keyring
from services.ledger.domain.checkpoint import Checkpoint, MalformedNote, VerifierKey
from services.ledger.domain.export import Plan, manifest
from services.ledger.domain.faults import LedgerDiverged, WriterFenced
from services.ledger.domain.proofs import consistent
from services.ledger.domain.records import SignedHead

T = TypeVar("T")


class KeysNotChanged(Exception):
    """Keys cannot be changed like that now; the text says what is to be done first."""


class FileSigner:
    """Implements `ports.Signer`; `origin` is the log's name and its keys'. The history of keys is beside the head.

    Raises:
        PermissionError, ValueError: the key file is readable by others, or holds no Ed25519 key.
    """

    def __init__(self, origin: str, key_path: Path, head_path: Path) -> None:
        self._path = head_path
        files.private_directory(head_path.parent)
        self._keys = KeyFiles(origin, key_path, head_path.with_name("keys"))
        with _locked(self._lock):
            self._keys.begin(now())

    @property
    def key(self) -> VerifierKey:
        return self.keys[-1]

    @property
    def keys(self) -> Sequence[VerifierKey]:
        return self._keys.history().active

    @property
    def key_history(self) -> str:
        return self._keys.history().text

    @property
    def last(self) -> SignedHead | None:
        return self._read()

    def opens(self, note: str) -> Checkpoint:
        return keyring.opened(note, self._keys.history(), verify)

    async def sign(
        self, checkpoint: Checkpoint, after: int, path: Sequence[bytes], at: datetime
    ) -> SignedHead:
        return await self._alone(lambda: self._sign(checkpoint, after, path, at))

    async def sign_export(self, plan: Plan, head: SignedHead, sums: bytes) -> str:
        if self.opens(head.note) != plan.head:
            raise MalformedNote("it is not the head that was exported")
        return await self._alone(lambda: notes.sign_with(manifest(plan, sums), self._keys.signers()))

    async def adopt(self, head: SignedHead) -> None:
        self.opens(head.note)

        def adopt() -> None:
            if self._read() is None:
                self._write(head.note)

        await self._alone(adopt)

    async def introduce(self, at: datetime) -> VerifierKey:
        """A new key signs from now on beside the one that does, the last head too. Safe to repeat.

        Raises:
            LedgerDiverged: the last head or the keys are not this log's.
            Unavailable: a file cannot be written; what was begun is finished by repeating it.
        """

        def introduce() -> VerifierKey:
            last = self._read()
            key = self._keys.introduce(_size(last), at)
            if last is not None and not _bears(last.note, key):
                self._write(notes.sign_with(last.checkpoint.text, self._keys.signers()))
            return key

        return await self._alone(introduce)

    async def retire(self, at: datetime) -> VerifierKey:
        """The older of two keys signs no more; the one that stays. Safe to repeat while it was cut off.

        Raises:
            KeysNotChanged: there is but one key, or the last head does not bear the new one's signature yet.
            LedgerDiverged, Unavailable: as `introduce`.
        """

        def retire() -> VerifierKey:
            if self._keys.settle():
                return self.key
            last, active = self._read(), self.keys
            if len(active) < 2:
                raise KeysNotChanged("one key signs: introduce another before it is retired")
            if last is not None and not _bears(last.note, active[-1]):
                raise KeysNotChanged(
                    "the last head does not bear the new key's signature: introduce it again"
                )
            self._keys.retire(_size(last), at)
            return self.key

        return await self._alone(retire)

    def _sign(self, checkpoint: Checkpoint, after: int, path: Sequence[bytes], at: datetime) -> SignedHead:
        last = self._read()
        if last is not None and last.checkpoint.size != after:
            raise WriterFenced(after)
        if last is not None:
            self._check(last.checkpoint, checkpoint, path)
        note = notes.sign_with(checkpoint.text, self._keys.signers())
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
        sync(self._path.parent)

    @property
    def _lock(self) -> Path:
        return self._path.with_name("lock")

    async def _alone(self, call: Callable[[], T]) -> T:
        def run() -> T:
            with _locked(self._lock):
                return call()

        try:
            return await asyncio.to_thread(run)
        except OSError as problem:
            raise Unavailable(
                "STORE_UNREACHABLE", f"the signer cannot keep its last head: {problem}"
            ) from problem


def _size(head: SignedHead | None) -> int:
    return 0 if head is None else head.checkpoint.size


def _bears(note: str, key: VerifierKey) -> bool:
    return any((each.name, each.key_id) == (key.name, key.id) for each in notes.parse_note(note)[1])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
