"""Sealed text: opened by its key alone, wherever it has got to, and never looked into twice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.sealing import ERASED, PREFIX, Seal, key_id_of, key_ids, told

KEY_ID, OTHER_ID = f"{'a' * 32}-{'1' * 16}", f"{'b' * 32}-{'2' * 16}"
SEAL, OTHER = Seal("acme", KEY_ID, b"\1" * 32), Seal("acme", OTHER_ID, b"\2" * 32)
SEALS = {KEY_ID: SEAL, OTHER_ID: OTHER}


@given(st.text(min_size=1).filter(lambda text: not any("\ud800" <= each <= "\udfff" for each in text)))
def test_what_is_sealed_comes_back_and_shows_nothing(text: str) -> None:
    sealed = SEAL.seal(text)
    assert sealed.isascii()
    assert sealed.startswith(PREFIX)
    assert text not in sealed or len(text) < 8
    assert SEAL.open(sealed) == text
    assert OTHER.open(sealed) == sealed
    assert told(sealed, {}) == ERASED


def test_the_same_text_is_sealed_differently_each_time() -> None:
    assert SEAL.seal("secret") != SEAL.seal("secret")


def test_what_is_compared_is_sealed_the_same_and_once() -> None:
    sealed = SEAL.seal_same("find out why")
    assert SEAL.seal_same("find out why") == sealed != SEAL.seal_same("find out who")
    assert SEAL.open(sealed) == "find out why"
    assert SEAL.seal_same(sealed) == sealed
    assert OTHER.seal_same(sealed) == sealed
    assert OTHER.seal_same(f"{sealed}!") != f"{sealed}!"


def test_no_text_stays_no_text() -> None:
    assert SEAL.seal("") == ""


def test_inside_a_sentence_it_is_found() -> None:
    text = f"{SEAL.seal('restart')} on {OTHER.seal('web-1')}: to see, ({SEAL.seal('now')})"
    assert key_ids(text) == {KEY_ID, OTHER_ID}
    assert told(text, SEALS) == "restart on web-1: to see, (now)"
    assert told(text, {KEY_ID: SEAL}) == f"restart on {ERASED}: to see, (now)"


def test_what_was_opened_is_not_looked_into_again() -> None:
    hostile = OTHER.seal("somebody else's")
    assert told(SEAL.seal(hostile), SEALS) == hostile


def test_in_json_it_is_escaped() -> None:
    text = json.dumps({"a": SEAL.seal('say "no"\n')})
    opened = told(text, SEALS, lambda plain: json.dumps(plain)[1:-1])
    assert json.loads(opened) == {"a": 'say "no"\n'}


@pytest.mark.parametrize(
    "broken",
    [
        PREFIX,
        f"{PREFIX}{KEY_ID}",
        f"{PREFIX}{KEY_ID}:",
        f"{PREFIX}{KEY_ID}:{'A' * 60}",
        SEAL.seal("secret")[:-3],
        SEAL.seal("secret")[:70],
        Seal("rival", KEY_ID, b"\1" * 32).seal("another tenant's"),
    ],
    ids=["no key", "nothing after it", "nothing sealed", "not sealed by it", "cut", "cut short", "another's"],
)
def test_what_is_no_whole_seal_is_told_as_erased(broken: str) -> None:
    assert told(f"<{broken}>", SEALS) == f"<{ERASED}>"


def test_contents() -> None:
    sealed = SEAL.seal_bytes(b"\0\xff log")
    assert key_id_of(sealed) == KEY_ID
    assert SEAL.open_bytes(sealed) == b"\0\xff log"
    assert SEAL.open_bytes(b"as it is") == b"as it is"
    for wrong in (OTHER, Seal("rival", KEY_ID, b"\1" * 32)):
        with pytest.raises(ValueError, match="another key, or damaged"):
            wrong.open_bytes(sealed)
    with pytest.raises(ValueError, match="another key, or damaged"):
        SEAL.open_bytes(sealed[:-1])


def test_digests_and_derived_keys_are_each_ones_own() -> None:
    digest = "sha256:00"
    assert SEAL.digest(digest) == SEAL.digest(digest) != OTHER.digest(digest)
    assert (
        len({SEAL.derived("seal"), SEAL.derived("digest"), SEAL.derived("journal/e1"), OTHER.derived("seal")})
        == 4
    )
