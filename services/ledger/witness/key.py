"""The witness's key: Ed25519, in a file of its own, and its public half as others are given it."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from chassis import files
from provost_sdk.cosignatures import message
from provost_sdk.note import is_name

_COSIGNATURE = b"\x04"


class WitnessKey:
    """The key in `path`, made if it is not there. A witness's name and key belong together: a new name is a new key.

    Raises:
        PermissionError, ValueError: others may read the file, it holds no such key, or the name is none.
    """

    def __init__(self, name: str, path: Path) -> None:
        if not is_name(name):
            raise ValueError(
                f"PROVOST_WITNESS_NAME is {name!r}: it needs a name without spaces and plus signs"
            )
        files.create_once(path, _new)
        private = load_pem_private_key(files.read_secret(path), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"{path} does not hold an Ed25519 private key")
        self._private = private
        self._name = name
        self._material = _COSIGNATURE + private.public_key().public_bytes_raw()
        self._id = sha256(name.encode() + b"\n" + self._material).digest()[:4]

    @property
    def text(self) -> str:
        """The verifier key, as C2SP tlog-cosignature writes it."""
        return f"{self._name}+{self._id.hex()}+{b64encode(self._material).decode()}"

    def cosign(self, text: str, at: int) -> str:
        """The signature line (newline included) for the note `text`, as of `at` (POSIX seconds)."""
        signature = self._private.sign(message(text, at))
        raw = self._id + at.to_bytes(8, "big") + signature
        return f"\u2014 {self._name} {b64encode(raw).decode()}\n"


def _new() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
