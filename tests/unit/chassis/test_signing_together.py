"""One signature for many tokens: each is verified by itself, and none can be made of another's parts."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.signing import SigningKey, Verifier, public_key
from chassis.signing_together import HASH_BYTES, MAX_LEVELS, root_of, tree
from kernel.faults import Unauthenticated

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())


def payload(number: int) -> bytes:
    return json.dumps({"aud": "actuator", "iat": AT, "exp": AT + 60, "jti": str(number)}).encode()


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.load_or_create(tmp_path / "key.pem")


@pytest.fixture
def verifier(key: SigningKey) -> Verifier:
    return Verifier({key.kid: public_key(key.public_jwk())})


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=40))
def test_every_path_leads_to_the_root(inputs: list[bytes]) -> None:
    root, paths = tree(inputs)
    assert [root_of(each, path) for each, path in zip(inputs, paths, strict=True)] == [root] * len(inputs)
    assert max(map(len, paths)) <= HASH_BYTES * (len(inputs) - 1).bit_length()


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=20), st.binary(max_size=80), st.data())
def test_what_is_not_in_the_tree_has_no_path(inputs: list[bytes], other: bytes, data: st.DataObject) -> None:
    root, paths = tree(inputs)
    if other not in inputs:
        assert root_of(other, data.draw(st.sampled_from(paths))) != root


@pytest.mark.parametrize("path", [b"x", b"x" * (HASH_BYTES * (MAX_LEVELS + 1))])
def test_what_is_no_path_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match="not a path"):
        root_of(b"input", path)


@pytest.mark.parametrize("many", [1, 2, 3, 100])
def test_each_is_a_token_by_itself(key: SigningKey, verifier: Verifier, many: int) -> None:
    tokens = key.sign_together([payload(n) for n in range(many)])
    assert [verifier.verify(each, "actuator", NOW)["jti"] for each in tokens] == [str(n) for n in range(many)]


def test_parts_of_two_make_no_third(key: SigningKey, verifier: Verifier) -> None:
    one, two = (each.split(".") for each in key.sign_together([payload(1), payload(2)]))
    single = key.sign({"aud": "actuator", "iat": AT, "exp": AT + 60}).split(".")
    for forged in (
        [one[0], one[1], two[2]],
        [one[0], two[1], one[2]],
        [single[0], one[1], one[2]],  # as if it were signed by itself
        [one[0], single[1], single[2]],
        [one[0], one[1], one[2][:40]],
        [one[0], one[1], ""],
    ):
        with pytest.raises(Unauthenticated) as refused:
            verifier.verify(".".join(forged), "actuator", NOW)
        assert refused.value.reason == "TOKEN_INVALID"


def test_another_key_signs_nothing(tmp_path: Path, verifier: Verifier) -> None:
    stranger = SigningKey.load_or_create(tmp_path / "other.pem")
    (token,) = stranger.sign_together([payload(1)])
    with pytest.raises(Unauthenticated):
        verifier.verify(token, "actuator", NOW)
