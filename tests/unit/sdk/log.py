"""A small log with a key of its own, made from the vectors' reference alone: heads, proofs and leaves to check."""

from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vectors import ledger as reference

ORIGIN = "provost.local/main"


class SmallLog:
    """`size` events; event n has payload `payload n`."""

    def __init__(self, size: int = 11, origin: str = ORIGIN) -> None:
        self.origin = origin
        self._private = Ed25519PrivateKey.generate()
        public = b"\x01" + self._private.public_key().public_bytes_raw()
        self._key_id = sha256(origin.encode() + b"\n" + public).digest()[:4]
        self.vkey = f"{origin}+{self._key_id.hex()}+{b64encode(public).decode()}"
        self.subjects = [f"evt.default.policy.agent.sre-{n}.AgentRevoked" for n in range(size)]
        self.headers = [
            f"NATS/1.0\r\nce-id: id-{n}\r\nce-actor: key:o%20k\r\n\r\n".encode() for n in range(size)
        ]
        self.payloads = [f"payload {n}".encode() for n in range(size)]
        messages = zip(self.subjects, self.headers, self.payloads, strict=True)
        leaves = [reference.leaf(subject.encode(), *rest) for subject, *rest in messages]
        self.hashes = [sha256(b"\x00" + each).digest() for each in leaves]

    def checkpoint(self, size: int) -> str:
        root = b64encode(reference.mth(self.hashes[:size])).decode()
        return self.sign(f"{self.origin}\n{size}\n{root}\n")

    def sign(self, text: str) -> str:
        signature = b64encode(self._key_id + self._private.sign(text.encode())).decode()
        return f"{text}\n— {self.origin} {signature}\n"

    def inclusion(self, index: int, size: int) -> list[bytes]:
        return reference.path(index, self.hashes[:size])

    def growth(self, old: int, new: int) -> list[bytes]:
        return reference.subproof(old, self.hashes[:new], True)
