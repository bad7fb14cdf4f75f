"""`provost ledger prove`, `check`, `prove-growth`, `consistent`, `key`: files in, words and exit codes out."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from provost.ledger.v1 import ledger_pb2 as pb
from provost_sdk.cli.app import app
from provost_sdk.errors import InvalidRequest, Unreachable
from provost_sdk.proof_files import write_event_proof, write_growth_proof
from provost_sdk.proofs import hash_leaf, leaf_of
from tests.unit.sdk.log import SmallLog
from tests.unit.sdk.test_log_keys import Changed, log

__all__ = ["log"]
LOG = SmallLog()


class LogBehind:
    """The client of a ledger that holds `LOG`."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def tree_head(self) -> pb.GetTreeHeadResponse:
        head = pb.TreeHead(tree_size=11, checkpoint=LOG.checkpoint(11))
        return pb.GetTreeHeadResponse(tree_head=head, verifier_key=LOG.vkey)

    async def prove_event(self, event_id: str) -> pb.GetInclusionProofResponse:
        index = int(event_id.removeprefix("id-"))
        return pb.GetInclusionProofResponse(
            leaf_index=index,
            path=LOG.inclusion(index, 11),
            tree_head=pb.TreeHead(tree_size=11, checkpoint=LOG.checkpoint(11)),
            subject=LOG.subjects[index],
            header_block=LOG.headers[index],
            payload=LOG.payloads[index],
        )

    async def prove_leaf(self, leaf_index: int) -> pb.GetInclusionProofResponse:
        if leaf_index >= 11:
            raise InvalidRequest(
                "TREE_SIZE_OUT_OF_RANGE", "leaf_index is 11; a tree of 11 leaves has 0 to 10"
            )
        return await self.prove_event(f"id-{leaf_index}")

    async def await_inclusion(self, event_id: str, *, timeout_seconds: float) -> pb.GetInclusionProofResponse:
        if event_id == "id-99":
            raise Unreachable("LEDGER_BEHIND", f"not within {timeout_seconds:g} s")
        return await self.prove_event(event_id)

    async def prove_growth(self, from_size: int, to_size: int) -> pb.GetConsistencyProofResponse:
        return pb.GetConsistencyProofResponse(path=LOG.growth(from_size, to_size), to_size=to_size)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PROVOST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("provost_sdk.client.Provost", LogBehind)
    return tmp_path


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["ledger", *map(str, arguments)])


def written(path: Path, *arguments: object) -> Path:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    path.write_bytes(result.stdout_bytes)
    return path


def test_an_event_is_proved_and_said_in_words(home: Path) -> None:
    assert invoke("key").stdout.strip() == LOG.vkey
    proof = written(home / "proof", "prove", "id-4")
    checked = invoke("check", proof, "--key", LOG.vkey)
    assert checked.exit_code == 0
    assert "number 4 (from 0) of the log provost.local/main" in checked.output
    assert "evt.default.policy.agent.sre-4.AgentRevoked" in checked.output
    assert "key:o k" in checked.output
    said = json.loads(invoke("check", proof, "--key", LOG.vkey, "--json").stdout)
    assert (said["proved"], said["index"], said["headers"]["ce-id"]) == (True, 4, "id-4")


def test_of_a_header_that_is_there_twice_both_are_shown_whatever_their_order(home: Path) -> None:
    log = SmallLog()
    for one, other in (("key:alice", "key:bob"), ("key:bob", "key:alice")):
        block = f"NATS/1.0\r\nce-actor: {one}\r\nce-actor: {other}\r\n\r\n".encode()
        leaf = leaf_of(b"evt.x", block, sha256(b"p").digest())
        log.hashes = [hash_leaf(leaf)]
        (home / "twice").write_text(write_event_proof(0, [], log.checkpoint(1), "evt.x", block, b"p"))
        said = invoke("check", home / "twice", "--key", log.vkey)
        assert (said.exit_code, "key:alice and key:bob" in said.output) == (0, True), said.output


def test_a_payload_can_be_kept_back(home: Path) -> None:
    proof = written(home / "proof", "prove", "id-4", "--without-payload")
    assert "not in the proof" in invoke("check", proof, "--key", LOG.vkey).output


def test_what_is_not_proved_ends_with_1_and_says_why(home: Path) -> None:
    proof = written(home / "proof", "prove", "id-4")
    other = invoke("check", proof, "--key", SmallLog().vkey)
    assert (other.exit_code, "not signed with the key" in other.output) == (1, True)
    proof.write_text(proof.read_text().replace("index 4", "index 5"))
    forged = invoke("check", proof, "--key", LOG.vkey)
    assert (forged.exit_code, "leads to another root" in forged.output) == (1, True)
    assert json.loads(invoke("check", proof, "--key", LOG.vkey, "--json").stdout)["proved"] is False
    proof.write_text("hello")
    assert invoke("check", proof, "--key", LOG.vkey).exit_code == 1


def test_misuse_ends_with_2_and_says_what_to_do(home: Path) -> None:
    proof = written(home / "proof", "prove", "id-4")
    assert "provost ledger key" in invoke("check", proof, "--key", "nonsense").output
    assert invoke("check", proof, "--key", LOG.vkey[:-1]).exit_code == 2
    assert invoke("check", home / "nowhere", "--key", LOG.vkey).exit_code == 2
    proof.write_bytes(b"\xff\xfe")
    assert invoke("check", proof, "--key", LOG.vkey).exit_code == 2
    assert invoke("prove-growth", home / "nowhere").exit_code == 2


def test_growth_between_two_heads(home: Path) -> None:
    old, later = home / "old", home / "later"
    old.write_text(LOG.checkpoint(3))
    later.write_text(LOG.checkpoint(7))
    newest = written(home / "growth", "prove-growth", old)
    between = written(home / "between", "prove-growth", old, "--to", later)
    for proof, size in ((newest, 11), (between, 7)):
        said = json.loads(invoke("consistent", old, proof, "--key", LOG.vkey, "--json").stdout)
        assert (said["old_size"], said["new_size"]) == (3, size)
    checked = invoke("consistent", old, newest, "--key", LOG.vkey)
    assert (checked.exit_code, "exactly the 3 events" in checked.output) == (0, True)
    assert invoke("consistent", later, newest, "--key", LOG.vkey).exit_code == 1


def test_a_head_is_written_as_it_was_signed(home: Path) -> None:
    head = invoke("head")
    assert head.stdout == LOG.checkpoint(11)
    assert LOG.vkey in head.stderr


def test_a_leaf_is_proved_by_its_number(home: Path) -> None:
    by_number = written(home / "by-number", "prove", "--index", 4)
    assert by_number.read_bytes() == written(home / "by-id", "prove", "id-4").read_bytes()
    beyond = invoke("prove", "--index", 11)
    assert (beyond.exit_code, "0 to 10" in beyond.output) == (1, True)


def test_a_proof_can_be_waited_for(home: Path) -> None:
    written(home / "proof", "prove", "id-4", "--wait", 5)
    late = invoke("prove", "id-99", "--wait", 0.5)
    assert (late.exit_code, "not within 0.5 s" in late.output) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [(), ("id-4", "--index", 4), ("--index", 4, "--wait", 5), ("--index", -1), ("id-4", "--wait", -1)],
)
def test_what_is_to_be_proved_is_said_once(arguments: tuple[object, ...]) -> None:
    assert invoke("prove", *arguments).exit_code == 2


def test_any_of_several_keys_will_do_and_a_history_brings_the_others(home: Path, log: Changed) -> None:
    other, keys = SmallLog().vkey, home / "keys"
    proof = written(home / "proof", "prove", "id-4")
    for given in (("--key", other, "--key", LOG.vkey), ("--key", f"{other}\n{LOG.vkey}\n")):
        checked = invoke("check", proof, *given)
        assert checked.exit_code == 0
        assert f"signed with the key {LOG.vkey.split('+')[1]}:" in checked.output
    old, grown = home / "old", home / "grown"
    old.write_text(log.note(5, 0))
    grown.write_text(write_growth_proof(5, [], log.note(5, 1)))
    keys.write_text(log.history)
    assert invoke("consistent", old, grown, "--key", log.vkey(1)).exit_code == 1
    assert invoke("consistent", old, grown, "--key", log.vkey(1), "--key-history", keys).exit_code == 0
    strange = invoke("consistent", old, grown, "--key", other, "--key-history", keys)
    assert (strange.exit_code, "none of the keys that you trust" in strange.output) == (1, True)
