"""What the keys of subjects are wrapped with: a key from a file, AES-256-GCM, tenant and key id as associated data."""

import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from chassis import files
from chassis.process import now
from chassis.sealing import KEY_BYTES
from kernel.faults import Unavailable
from provost.event.v1 import privacy_pb2 as pb

_NONCE_BYTES = 12


class SealingKey:
    """The file's key at work; `load` first."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._key = b""

    def load(self, *, first: bool) -> None:
        """Read the file; if it is the `first` time that there is anything to wrap, make it when it is not there.

        Raises:
            ValueError: it is missing though keys are wrapped with it, or is damaged.
            PermissionError: others may read it.
        """
        if first:
            files.create_once(self._file, lambda: os.urandom(KEY_BYTES))
        elif not self._file.exists():
            raise ValueError(
                f"{self._file} is missing, and keys of subjects are wrapped with it: put it back; without it nothing "
                "that was sealed can be read"
            )
        self._key = files.read_secret(self._file)
        if len(self._key) != KEY_BYTES:
            raise ValueError(
                f"{self._file} is damaged: it must hold {KEY_BYTES} bytes; put the right one back"
            )

    def derived(self, purpose: str) -> bytes:
        """32 bytes that stay the same as long as the file does."""
        return hmac.digest(self._key, purpose.encode(), "sha256")

    def wrap(self, tenant: str, key_id: str, key: bytes, *, one_run: bool = False) -> bytes:
        """The message that keeps a subject's key."""
        nonce = os.urandom(_NONCE_BYTES)
        wrapped = nonce + AESGCM(self._key).encrypt(nonce, key, f"{tenant}/{key_id}".encode())
        message = pb.SubjectKey(key_id=key_id, wrapped=wrapped, one_run=one_run)
        message.create_time.FromDatetime(now())
        return message.SerializeToString()

    def unwrap(self, tenant: str, payload: bytes) -> tuple[str, bytes]:
        """Key id and key.

        Raises:
            Unavailable: the file is not the one that it was wrapped with (`SEALING_KEY_WRONG`).
        """
        try:
            kept = pb.SubjectKey.FromString(payload)
            nonce, wrapped = kept.wrapped[:_NONCE_BYTES], kept.wrapped[_NONCE_BYTES:]
            return kept.key_id, AESGCM(self._key).decrypt(nonce, wrapped, f"{tenant}/{kept.key_id}".encode())
        except (InvalidTag, DecodeError, ValueError):
            raise Unavailable(
                "SEALING_KEY_WRONG",
                f"a subject's key cannot be unwrapped: {self._file} is not what wrapped it; put that file back",
            ) from None
