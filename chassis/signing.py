"""Signed tokens: Ed25519 JWTs (RFC 7519, RFC 9864) for sessions (audience `provost`) and permits (`actuator`).

Keys live in files that only their owner may read and are made once; a token names its key by `kid` (RFC 7638).
"""

import hashlib
import json
import math
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from chassis import files, signing_together
from kernel.faults import Unauthenticated

ALGORITHM = "Ed25519"
MAX_TOKEN_BYTES = 8192
MAX_CACHED = 10_000
LEEWAY_SECONDS = 5  # between the clocks of two machines
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

Claims = Mapping[str, Any]
PublicKey = OKPKey


class SigningKey:
    """A private key that signs; its public half may go anywhere."""

    def __init__(self, key: OKPKey) -> None:
        if not isinstance(key.private_key, Ed25519PrivateKey):
            raise ValueError("not an Ed25519 private key")
        self._key = key
        self._secret = key.private_key
        self._headers: dict[tuple[str, str], str] = {}
        self.kid: str = key.thumbprint()

    @classmethod
    def load_or_create(cls, path: Path) -> "SigningKey":
        """The key in `path` (PEM, PKCS #8), made on first use with mode 0600.

        Two processes that make it at once end up with the same one.

        Raises:
            PermissionError: the file can be read by others than its owner.
            ValueError: it does not hold an Ed25519 private key.
        """
        files.create_once(path, lambda: OKPKey.generate_key("Ed25519").as_pem(private=True))
        try:
            return cls(OKPKey.import_key(files.read_secret(path)))
        except ValueError as error:
            raise ValueError(f"{path} does not hold an Ed25519 private key") from error

    def public_jwk(self) -> dict[str, str]:
        """The public key as a JWK (RFC 7517, RFC 8037), with its `kid`."""
        return {str(key): str(value) for key, value in self._key.as_dict(private=False).items()} | {
            "kid": self.kid,
            "alg": ALGORITHM,
            "use": "sig",
        }

    def public_bytes(self) -> bytes:
        """The 32 bytes of the public key (RFC 8032)."""
        return self._secret.public_key().public_bytes_raw()

    def sign(self, claims: Claims, typ: str = "JWT") -> str:
        """`claims` as a signed compact JWT; `exp`, `iat` and `nbf` are seconds since 1970."""
        # As joserfc's `serialize_compact` does it, with the header, which is always the same, made once.
        signed = f"{self._header(ALGORITHM, typ)}.{_base64(json.dumps(claims).encode())}"
        return f"{signed}.{_base64(self._secret.sign(signed.encode()))}"

    def sign_together(self, payloads: Sequence[bytes]) -> list[str]:
        """A token for each of `payloads` (claims as JSON), all under one signature: see `signing_together`."""
        header = f"{self._header(signing_together.ALGORITHM, 'JWT')}.".encode()
        inputs = [header + _base64_bytes(payload) for payload in payloads]
        root, paths = signing_together.tree(inputs)
        signature = self._secret.sign(signing_together.what_is_signed(root))
        pairs = zip(inputs, paths, strict=True)
        return [(each + b"." + _base64_bytes(signature + path)).decode() for each, path in pairs]

    def _header(self, algorithm: str, typ: str) -> str:
        header = self._headers.get((algorithm, typ))
        if header is None:
            fields = {"alg": algorithm, "kid": self.kid, "typ": typ}
            header = _base64(json.dumps(fields, separators=(",", ":")).encode())
            self._headers[algorithm, typ] = header
        return header


def public_key(jwk: Mapping[str, str]) -> PublicKey:
    """The public key in `jwk`.

    Raises:
        ValueError: it is not an Ed25519 key.
    """
    try:
        key = OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")})
    except (JoseError, KeyError, ValueError) as error:
        raise ValueError("not an Ed25519 public key") from error
    if key.curve_name != "Ed25519":
        raise ValueError("not an Ed25519 public key")
    return key


def public_key_of(raw: bytes) -> PublicKey:
    """The public key whose 32 bytes are `raw`.

    Raises:
        ValueError: it is not an Ed25519 key.
    """
    return public_key({"kty": "OKP", "crv": "Ed25519", "x": _base64(raw)})


class Verifier:
    """Checks tokens against known public keys. A token once verified is remembered until it expires."""

    def __init__(self, keys: Mapping[str, PublicKey]) -> None:
        self._keys = keys
        self._verified: dict[bytes, Claims] = {}

    def verify(self, token: str, audience: str, now: datetime, typ: str = "JWT") -> Claims:
        """What the token claims.

        Raises:
            Unauthenticated: `TOKEN_EXPIRED`; `TOKEN_INVALID` for anything else that is wrong with it (form, algorithm,
                type, unknown key, signature, audience, not valid yet).
        """
        raw = token.encode("utf-8", "replace")
        if not raw or len(raw) > MAX_TOKEN_BYTES:
            raise _invalid(f"a token has 1 to {MAX_TOKEN_BYTES} bytes")
        known = hashlib.sha256(raw).digest()
        claims = self._verified.get(known)
        if claims is None:
            claims = self._checked(raw)
            self._remember(known, claims)
        self._check(claims, audience, now.timestamp(), typ)
        return claims

    def forget(self, token: str) -> None:
        """Verify this token anew the next time it comes."""
        self._verified.pop(hashlib.sha256(token.encode("utf-8", "replace")).digest(), None)

    def _checked(self, raw: bytes) -> Claims:
        try:
            signed = jws.extract_compact(raw)
            header = signed.headers()
            algorithm = header.get("alg")
            if algorithm not in (ALGORITHM, signing_together.ALGORITHM):
                raise _invalid(f"only {ALGORITHM} signatures are accepted")
            key = self._keys.get(str(header.get("kid")))
            if key is None:
                raise _invalid("it is signed by a key that is not known here")
            fits = _fits_tree if algorithm == signing_together.ALGORITHM else _fits
            if not fits(signed, key, raw):
                raise _invalid("its signature does not fit")
            claims = json.loads(signed.payload)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _invalid("it is not a token") from error
        if not isinstance(claims, dict) or not all(_is_number(claims.get(name)) for name in ("exp", "iat")):
            raise _invalid("it claims no issue or expiry time")
        return MappingProxyType({**claims, "typ": header.get("typ")})

    def _check(self, claims: Claims, audience: str, now: float, typ: str) -> None:
        if claims["typ"] != typ:
            raise _invalid(f"its type is not {typ}")
        if claims.get("aud") != audience:
            raise _invalid(f"its audience is not {audience}")
        if now >= claims["exp"]:
            raise Unauthenticated("TOKEN_EXPIRED", "the token has expired; get a new one", audience=audience)
        begins = claims.get("nbf", claims["iat"])
        if not _is_number(begins) or now + LEEWAY_SECONDS < begins:
            raise _invalid("it is not valid yet (is a clock wrong?)")

    def _remember(self, known: bytes, claims: Claims) -> None:
        if len(self._verified) >= MAX_CACHED:
            # The oldest half, rather than one by one: verifying again costs 70 µs, finding the best one to drop more.
            for old in list(self._verified)[: MAX_CACHED // 2]:
                del self._verified[old]
        self._verified[known] = claims


def _fits(signed: jws.CompactSignature, key: PublicKey, _raw: bytes) -> bool:
    return jws.validate_compact(signed, key, algorithms=[ALGORITHM])


def _fits_tree(_signed: jws.CompactSignature, key: PublicKey, raw: bytes) -> bool:
    signed, _, encoded = raw.rpartition(b".")
    proof = urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
    signature, path = proof[: signing_together.SIGNATURE_BYTES], proof[signing_together.SIGNATURE_BYTES :]
    root = signing_together.root_of(signed, path)
    public = key.public_key
    assert isinstance(public, Ed25519PublicKey)
    try:
        public.verify(signature, signing_together.what_is_signed(root))
    except InvalidSignature:
        return False
    return True


def _base64(raw: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return _base64_bytes(raw).decode()


def _base64_bytes(raw: bytes) -> bytes:
    # As `urlsafe_b64encode`, whose looks at its arguments take as long as the work.
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _invalid(text: str) -> Unauthenticated:
    return Unauthenticated("TOKEN_INVALID", f"the token was refused: {text}; get a new one")
