"""The signer's keys in files: one private key or, while keys are changed, two, and the history of all there ever were.

The history decides which keys sign; the private halves are where they are. Each step is one file put in place whole, so
that wherever it is cut off, what signs is what the history says, and the step can be made again.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from chassis import files
from services.ledger.domain import keyring
from services.ledger.domain.checkpoint import MalformedNote, VerifierKey
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.keyring import Change, KeyHistory, Signers


class KeyFiles:
    """The private key in `path`, made if there is none, its successor beside it, and the history in `history`.

    Whoever changes anything holds the signer's lock.
    """

    def __init__(self, origin: str, path: Path, history: Path) -> None:
        self._origin = origin
        self._path = path
        self._next = path.with_name(f"{path.stem}.next{path.suffix}")
        self._history_path = history
        self._seen: tuple[int, int, int] | None = None
        self._history = KeyHistory(origin)
        self._signers: tuple[object, Signers] = (None, ())

    def begin(self, at: datetime) -> None:
        """Make the first key and the history, if they are not there.

        Raises:
            PermissionError, ValueError: the key file is readable by others, or holds no Ed25519 key.
        """
        private = _load_or_create(self._path)
        if not self._history_path.exists():
            key = self._public(private)
            change = Change(keyring.INTRODUCED, key, 0, _time(at))
            self._write(keyring.changed(KeyHistory(self._origin), change, [(key, private.sign)], verify))

    def history(self) -> KeyHistory:
        """Every key there ever was; read again when the file has changed.

        Raises:
            LedgerDiverged: it is none of this log.
        """
        try:
            status = self._history_path.stat()
            seen = status.st_mtime_ns, status.st_ino, status.st_size
            if seen != self._seen:
                text = self._history_path.read_text(encoding="utf-8")
                self._history, self._seen = keyring.read_history(text, self._origin, verify), seen
        except (OSError, UnicodeDecodeError, MalformedNote) as problem:
            raise LedgerDiverged(
                f"{self._history_path} is no history of this log's keys: {problem}"
            ) from None
        return self._history

    def signers(self) -> Signers:
        """Every key that signs now, oldest first, with its private half.

        Raises:
            LedgerDiverged: a private half is missing.
        """
        active = self.history().active
        if self._signers[0] == active:
            return self._signers[1]
        found = {}
        for path in (self._path, self._next):
            if path.exists():
                private = _load(path)
                found[self._public(private)] = private
        missing = [key for key in active if key not in found]
        if missing:
            raise LedgerDiverged(f"the private half of {missing[0].text} is not in {self._path.parent}")
        self._signers = active, [(key, found[key].sign) for key in active]
        return self._signers[1]

    def introduce(self, size: int, at: datetime) -> VerifierKey:
        """Let a new key sign beside the one that does; the same one again if that was cut off."""
        self.settle()
        key = self._public(_load_or_create(self._next))
        history = self.history()
        if key not in history.active:
            signers = [*self.signers(), (key, _load(self._next).sign)]
            self._write(
                keyring.changed(history, Change(keyring.INTRODUCED, key, size, _time(at)), signers, verify)
            )
        return key

    def retire(self, size: int, at: datetime) -> None:
        """Let the older of two keys sign no more; its private half is gone then."""
        history = self.history()
        change = Change(keyring.RETIRED, history.active[0], size, _time(at))
        self._write(keyring.changed(history, change, self.signers(), verify))
        self.settle()

    def settle(self) -> bool:
        """Put the successor in its predecessor's place once that is retired; whether that was still to be done."""
        active = self.history().active
        if len(active) > 1 or not self._next.exists() or self._public(_load(self._next)) not in active:
            return False
        self._next.replace(self._path)
        sync(self._path.parent)
        return True

    def _public(self, private: Ed25519PrivateKey) -> VerifierKey:
        return VerifierKey(self._origin, private.public_key().public_bytes_raw())

    def _write(self, history: KeyHistory) -> None:
        files.private_directory(self._history_path.parent)
        files.replace(self._history_path, history.text.encode())
        sync(self._history_path.parent)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the Ed25519 signature (RFC 8032) of `message` by `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sync(directory: Path) -> None:
    """Make sure that what was put into `directory` is there after a crash."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load_or_create(path: Path) -> Ed25519PrivateKey:
    def create() -> bytes:
        key = Ed25519PrivateKey.generate()
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    files.create_once(path, create)
    sync(path.parent)
    return _load(path)


def _load(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(files.read_secret(path), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} does not hold an Ed25519 private key")
    return key


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
