"""Proofs as files: what is written is proved, and no character of it may be another."""

import json
from base64 import b64decode, b64encode

import pytest

from provost_sdk.note import NotProved, read_key
from provost_sdk.proof_files import (
    check_event_proof,
    check_growth_proof,
    write_event_proof,
    write_growth_proof,
)
from tests.unit.sdk.log import SmallLog

LOG = SmallLog()
KEY = read_key(LOG.vkey)


def proof(index: int = 4, size: int = 11, *, with_payload: bool = True) -> str:
    return write_event_proof(
        index,
        LOG.inclusion(index, size),
        LOG.checkpoint(size),
        LOG.subjects[index],
        LOG.headers[index],
        LOG.payloads[index],
        with_payload=with_payload,
    )


def test_every_event_in_every_tree_is_proved() -> None:
    for size in range(1, 12):
        for index in range(size):
            proved = check_event_proof(proof(index, size), KEY)
            assert (proved.index, proved.head.size, proved.payload) == (index, size, LOG.payloads[index])
            kept_back = check_event_proof(proof(index, size, with_payload=False), KEY)
            assert (kept_back.payload, kept_back.payload_sha256) == (None, proved.payload_sha256)


def test_the_form_is_that_of_c2sp() -> None:
    lines = proof(4, 11).split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert json.loads(b64decode(lines[1].removeprefix("extra ")))["subject"] == LOG.subjects[4]
    assert lines[2] == "index 4"
    assert [b64decode(each) for each in lines[3:7]] == LOG.inclusion(4, 11)
    assert "\n".join(lines[8:]) == LOG.checkpoint(11)


@pytest.mark.parametrize("with_payload", [True, False])
def test_no_bit_of_a_proof_may_change(with_payload: bool) -> None:
    text = proof(with_payload=with_payload)
    raw = text.encode()
    for at in range(len(raw)):
        for bit in range(8):
            changed = raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]
            with pytest.raises(NotProved):
                check_event_proof(changed.decode("utf-8", "replace"), KEY)
    for at in range(len(text)):
        with pytest.raises(NotProved):
            check_event_proof(text[:at], KEY)


def test_no_bit_of_what_is_inside_may_change() -> None:
    lines = proof().split("\n")
    extra = b64decode(lines[1].removeprefix("extra "))
    for at in range(len(extra)):
        for bit in range(8):
            changed = extra[:at] + bytes([extra[at] ^ (1 << bit)]) + extra[at + 1 :]
            lines[1] = "extra " + b64encode(changed).decode()
            with pytest.raises(NotProved):
                check_event_proof("\n".join(lines), KEY)


@pytest.mark.parametrize("extra", ["[]", "7", '{"subject": 7}', "{" * 20_000, "[" * 200_000, '"\\ud800"'])
def test_extra_data_that_is_something_else_is_refused(extra: str) -> None:
    lines = proof().split("\n")
    lines[1] = "extra " + b64encode(extra.encode()).decode()
    with pytest.raises(NotProved, match="extra data"):
        check_event_proof("\n".join(lines), KEY)


def test_headers_cannot_be_hidden_in_the_subject() -> None:
    """A subject of two lines gives the same leaf, and a proof that does not say by whom the event was."""
    lines = proof().split("\n")
    extra = json.loads(b64decode(lines[1].removeprefix("extra ")))
    block = b64decode(extra["header"]).decode()
    actor = next(line for line in block.split("\r\n") if line.startswith("ce-actor"))
    extra["subject"] += "\r\n" + actor
    extra["header"] = b64encode(block.replace(actor + "\r\n", "").encode()).decode()
    lines[1] = "extra " + b64encode(json.dumps(extra).encode()).decode()
    with pytest.raises(NotProved, match="hidden"):
        check_event_proof("\n".join(lines), KEY)


def test_another_key_proves_nothing() -> None:
    with pytest.raises(NotProved, match="not signed with the key"):
        check_event_proof(proof(), read_key(SmallLog().vkey))
    with pytest.raises(NotProved, match="not signed with the key"):
        check_growth_proof(LOG.checkpoint(3), growth(3, 7), read_key(SmallLog().vkey))


def growth(old: int, new: int) -> str:
    return write_growth_proof(old, LOG.growth(old, new), LOG.checkpoint(new))


def test_every_head_is_proved_to_contain_every_earlier_one() -> None:
    for new in range(1, 12):
        for old in range(1, new + 1):
            proved = check_growth_proof(LOG.checkpoint(old), growth(old, new), KEY)
            assert (proved.old.size, proved.new.size) == (old, new)


def test_no_bit_of_a_proof_of_growth_may_change() -> None:
    old, raw = LOG.checkpoint(3), growth(3, 7).encode()
    for at in range(len(raw)):
        for bit in range(8):
            changed = raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]
            with pytest.raises(NotProved):
                check_growth_proof(old, changed.decode("utf-8", "replace"), KEY)


def test_a_fork_is_noticed() -> None:
    fork = SmallLog()
    fork.hashes = [*LOG.hashes[:2], *(bytes([n]) * 32 for n in range(9))]
    text = write_growth_proof(3, fork.growth(3, 7), LOG.sign(_text_of(fork.checkpoint(7))))
    with pytest.raises(NotProved, match="another root than that of the earlier head"):
        check_growth_proof(LOG.checkpoint(3), text, KEY)
    with pytest.raises(NotProved, match="begins at 3 leaves"):
        check_growth_proof(LOG.checkpoint(2), growth(3, 7), KEY)


def _text_of(note: str) -> str:
    return note.partition("\n\n")[0] + "\n"
