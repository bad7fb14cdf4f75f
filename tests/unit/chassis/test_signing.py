"""Tokens: what is accepted, and everything that is not."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey, RSAKey

from chassis.signing import ALGORITHM, MAX_TOKEN_BYTES, SigningKey, Verifier, public_key
from kernel.faults import Unauthenticated

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.load_or_create(tmp_path_factory.mktemp("keys") / "session.pem")


@pytest.fixture
def verifier(key: SigningKey) -> Verifier:
    return Verifier({key.kid: public_key(key.public_jwk())})


def claims(**changes: Any) -> dict[str, Any]:
    return {
        "aud": "provost",
        "sub": "sre-1",
        "tenant": "default",
        "iat": SECONDS,
        "exp": SECONDS + 60,
    } | changes


def b64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def refused(verifier: Verifier, token: str, now: datetime = NOW, audience: str = "provost") -> str:
    with pytest.raises(Unauthenticated) as caught:
        verifier.verify(token, audience, now)
    assert token not in caught.value.text or token == ""
    return caught.value.reason


def test_what_was_signed_is_read(key: SigningKey, verifier: Verifier) -> None:
    token = key.sign(claims())
    for _ in range(2):  # the second answer comes from memory
        read = verifier.verify(token, "provost", NOW)
        assert (read["sub"], read["tenant"], read["typ"]) == ("sre-1", "default", "JWT")
    with pytest.raises(TypeError):
        read["sub"] = "root"  # type: ignore[index]


def test_expiry_holds_for_remembered_tokens_too(key: SigningKey, verifier: Verifier) -> None:
    token = key.sign(claims())
    assert verifier.verify(token, "provost", NOW + timedelta(seconds=59))
    assert refused(verifier, token, NOW + timedelta(seconds=60)) == "TOKEN_EXPIRED"
    assert refused(verifier, token, NOW + timedelta(days=1)) == "TOKEN_EXPIRED"


def test_audience_and_type_hold_for_remembered_tokens_too(key: SigningKey, verifier: Verifier) -> None:
    token = key.sign(claims())
    assert verifier.verify(token, "provost", NOW)
    assert refused(verifier, token, audience="actuator") == "TOKEN_INVALID"
    with pytest.raises(Unauthenticated):
        verifier.verify(token, "provost", NOW, typ="permit+jwt")


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "actuator"},
        {"aud": ["provost", "actuator"]},
        {"iat": SECONDS + 600},
        {"nbf": SECONDS + 600},
        {"nbf": "soon"},
        {"exp": None},
        {"exp": "never"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"iat": None},
    ],
)
def test_wrong_claims_are_refused(key: SigningKey, verifier: Verifier, change: dict[str, Any]) -> None:
    assert refused(verifier, key.sign(claims(**change))) == "TOKEN_INVALID"


def test_other_algorithms_are_refused(key: SigningKey, verifier: Verifier) -> None:
    header = {"kid": key.kid, "typ": "JWT"}
    unsigned = f"{b64({'alg': 'none', **header})}.{b64(claims())}."
    assert refused(verifier, unsigned) == "TOKEN_INVALID"
    # the classic confusion: an HMAC made with the public key as its secret
    public = OctKey.import_key(key.public_jwk()["x"])
    forged = jws.serialize_compact({"alg": "HS256", **header}, json.dumps(claims()), public)
    assert refused(verifier, forged) == "TOKEN_INVALID"
    rsa = RSAKey.generate_key(2048)
    assert (
        refused(verifier, jws.serialize_compact({"alg": "RS256", **header}, json.dumps(claims()), rsa))
        == "TOKEN_INVALID"
    )


def test_another_key_under_the_same_kid_is_refused(key: SigningKey, verifier: Verifier) -> None:
    other = OKPKey.generate_key("Ed25519")
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
    forged = jws.serialize_compact(header, json.dumps(claims()), other, algorithms=[ALGORITHM])
    assert refused(verifier, forged) == "TOKEN_INVALID"


def test_a_changed_token_is_refused(key: SigningKey, verifier: Verifier) -> None:
    head, _, signature = key.sign(claims()).split(".")
    assert refused(verifier, f"{head}.{b64(claims(sub='root'))}.{signature}") == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "\x00",
        "ключ",
        "x" * (MAX_TOKEN_BYTES + 1),
        b64("[" * 4000) + ".e30.x",
        f"{b64([])}.e30.x",
    ],
)
def test_rubbish_is_refused(verifier: Verifier, token: str) -> None:
    assert refused(verifier, token) == "TOKEN_INVALID"


def test_a_payload_that_is_no_object_is_refused(key: SigningKey, verifier: Verifier) -> None:
    for payload in ([1], "text", 7, None):
        assert refused(verifier, key.sign(payload)) == "TOKEN_INVALID"  # type: ignore[arg-type]


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "permits.pem"
    first, second = SigningKey.load_or_create(path), SigningKey.load_or_create(path)
    assert first.kid == second.kid
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["permits.pem"]
    assert "d" not in first.public_jwk()
    path.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        SigningKey.load_or_create(path)


def test_only_ed25519_keys_are_taken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not an Ed25519"):
        public_key(RSAKey.generate_key(2048).as_dict(private=False))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not an Ed25519"):
        public_key({"kty": "OKP", "crv": "Ed25519", "x": "short"})
    path = tmp_path / "x.pem"
    path.write_bytes(OKPKey.generate_key("X25519").as_pem(private=True))
    path.chmod(0o600)
    with pytest.raises(ValueError, match="does not hold an Ed25519"):
        SigningKey.load_or_create(path)
