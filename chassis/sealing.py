"""Personal text as it is published: sealed under the key of its subject, in a form that is text itself.

`sealed:v1:<key id>:<base64url of nonce and ciphertext>`, AES-256-GCM (NIST SP 800-38D), the nonce random. What is
sealed may travel anywhere that text may: into another event, a row, a sentence; whoever has the key finds it there and
opens it. That is why the associated data are tenant and key id alone, and not the field it was first written to. Knows
no log and no service; keeps nothing but the key.
"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "sealed:v1:"
ERASED = "[erased]"
"""What is told in place of what was sealed under a key that is gone, or of what is no whole seal."""
KEY_BYTES = 32
_NONCE_BYTES = 12
_KEY_ID = "[0-9a-f]{32}-[0-9a-f]{16}"
_TEXT = "[A-Za-z0-9_-]"
TOKEN = re.compile(f"{PREFIX}({_KEY_ID}):({_TEXT}{{38,}})")
_ANY = re.compile(f"{PREFIX}(?:({_KEY_ID}):{_TEXT}{{38,}}|[0-9a-f-]{{0,49}}:?{_TEXT}*)")


class Seal:
    """One subject's key at work; implements `kernel.ports.Seal`."""

    __slots__ = ("_aad", "_gcm", "_head", "_key", "key_id")

    def __init__(self, tenant: str, key_id: str, key: bytes) -> None:
        self.key_id = key_id
        self._key = key
        self._gcm = AESGCM(self.derived("seal"))
        self._aad = f"{tenant}/{key_id}".encode()
        self._head = f"{PREFIX}{key_id}:"

    def derived(self, purpose: str) -> bytes:
        """32 bytes for one purpose; they say nothing of the key, nor of those for another purpose."""
        return hmac.digest(self._key, purpose.encode(), "sha256")

    def seal(self, text: str) -> str:
        """`text`, sealed; no text stays no text."""
        return self._as_text(text, os.urandom(_NONCE_BYTES)) if text else text

    def seal_same(self, text: str) -> str:
        """As `seal`, and the same for the same text, for what is compared; what is a whole seal already stays as it is.

        The nonce is derived from the text (as in RFC 8452): that two texts of one subject are equal can be seen.
        """
        if not text or TOKEN.fullmatch(text):
            return text
        nonce = hmac.digest(self.derived("nonce"), text.encode("utf-8", "replace"), "sha256")[:_NONCE_BYTES]
        return self._as_text(text, nonce)

    def open(self, text: str) -> str:
        """`text` with everything in it that is sealed under this key opened; what others have sealed stays."""
        if PREFIX not in text:
            return text
        return TOKEN.sub(self._opened, text)

    def seal_bytes(self, content: bytes) -> bytes:
        """A whole content, sealed: the same head, and then bytes."""
        return self._head.encode() + self._sealed(content, os.urandom(_NONCE_BYTES))

    def open_bytes(self, content: bytes) -> bytes:
        """What `seal_bytes` made it of; unsealed content as it is.

        Raises:
            ValueError: it was sealed under another key, or is damaged.
        """
        if not content.startswith(PREFIX.encode()):
            return content
        head = self._head.encode()
        opened = self._plain(content[len(head) :]) if content.startswith(head) else None
        if opened is None:
            raise ValueError("sealed under another key, or damaged")
        return opened

    def digest(self, digest: str) -> str:
        """In place of a digest of something that can be guessed: nobody without the key can try guesses."""
        return f"hmac-sha256:{hmac.digest(self.derived('digest'), digest.encode(), 'sha256').hex()}"

    def _as_text(self, text: str, nonce: bytes) -> str:
        sealed = self._sealed(text.encode("utf-8", "replace"), nonce)
        return self._head + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def _sealed(self, content: bytes, nonce: bytes) -> bytes:
        return nonce + self._gcm.encrypt(nonce, content, self._aad)

    def _plain(self, sealed: bytes) -> bytes | None:
        try:
            return self._gcm.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._aad)
        except (InvalidTag, ValueError):
            return None

    def _opened(self, found: re.Match[str]) -> str:
        if found[1] != self.key_id:
            return found[0]
        try:
            plain = self._plain(base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)))
        except binascii.Error:
            plain = None
        return ERASED if plain is None else plain.decode()


def key_ids(text: str) -> set[str]:
    """The ids of the keys that something in `text` is sealed under."""
    return {found[1] for found in TOKEN.finditer(text)} if PREFIX in text else set()


def key_id_of(content: bytes) -> str:
    """The id of the key that a content is sealed under; empty when it is not sealed."""
    found = re.match(f"{PREFIX}({_KEY_ID}):".encode(), content[:80])
    return found[1].decode() if found else ""


def told(text: str, seals: dict[str, Seal], inside: Callable[[str], str] | None = None) -> str:
    """`text` as it is told to somebody: opened with `seals` (by key id), and `[erased]` where there is none.

    `inside` fits what was opened into what stands around it: into JSON, say. What was opened is not looked into again:
    a log may hold what looks like a seal.
    """
    if PREFIX not in text:
        return text

    def one(found: re.Match[str]) -> str:
        seal = seals.get(found[1] or "")
        if seal is None:
            return ERASED
        plain = seal.open(found[0])
        return inside(plain) if inside else plain

    return _ANY.sub(one, text)
