"""The ledger and its witness, as processes: what an insider cannot do, and what a crash does not break."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chassis.eventlog.wire import Connection
from provost.ledger.v1 import ledger_pb2 as pb
from provost_sdk.cli.app import app
from provost_sdk.cosignatures import cosigned, read_witness_key
from provost_sdk.note import NotProved
from provost_sdk.proof_files import write_event_proof, write_growth_proof
from tests.fakes.nats_server import NatsServer, fresh_stream
from tests.fakes.wait import until
from tests.integration.ledger.process import LedgerProcess, publish
from tests.integration.ledger.witness_process import WitnessProcess
from tests.unit.ledger.story import plain, plains


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[WitnessProcess]:
    process = WitnessProcess(tmp_path / "elsewhere", tmp_path / "ledger" / "witnessed" / "vkeys")
    process.start()
    yield process
    process.stop()


@pytest.fixture
def watched(
    tmp_path: Path, nats_server: NatsServer, events: object, witness: WitnessProcess
) -> Iterator[LedgerProcess]:
    process = LedgerProcess(tmp_path, nats_server.url, PROVOST_LEDGER_WITNESSES=witness.setting)
    process.start()
    yield process
    process.stop()


async def head_over(ledger: LedgerProcess, sequence: int, *, witnessed: bool) -> pb.TreeHead:
    """The newest head, once it covers `sequence` and is, or is not, witnessed."""
    found: list[pb.TreeHead] = []

    async def there() -> bool:
        answer = await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=sequence))
        found.append(answer.tree_head)
        return bool(answer.tree_head.witnesses) == witnessed

    await until(there, f"witnessed is not {witnessed}: {ledger.log.read_text()[-2000:]}")
    return found[-1]


async def proof_of(ledger: LedgerProcess, index: int, path: Path) -> Path:
    answer = await ledger.ask("GetInclusionProof", pb.GetInclusionProofRequest(leaf_index=index))
    text = write_event_proof(
        answer.leaf_index,
        answer.path,
        answer.tree_head.checkpoint,
        answer.subject,
        answer.header_block,
        answer.payload,
    )
    path.write_bytes(text.encode())
    return path


async def growth_of(ledger: LedgerProcess, old: str, path: Path) -> Path:
    head = (await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest())).tree_head
    size = int(old.split("\n")[1])
    sizes = pb.GetConsistencyProofRequest(from_size=size, to_size=head.tree_size)
    answer = await ledger.ask("GetConsistencyProof", sizes)
    path.write_bytes(write_growth_proof(size, answer.path, head.checkpoint).encode())
    return path


def checked(*arguments: object) -> int:
    return CliRunner().invoke(app, ["ledger", *map(str, arguments)]).exit_code


async def key_of(ledger: LedgerProcess) -> str:
    return str((await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest())).verifier_key)


@pytest.mark.parametrize("size", [40, 55])
async def test_fault_24_an_insider_who_rewrites_everything_is_noticed_by_the_witness(
    watched: LedgerProcess,
    witness: WitnessProcess,
    events: Connection,
    tmp_path: Path,
    size: int,
) -> None:
    """Stream, database and the signer's file are exchanged together for a story that fits, signed with the true key."""
    last = await publish(events, plains(40))
    before = await head_over(watched, last, witnessed=True)
    kept = tmp_path / "kept"
    kept.write_bytes(before.checkpoint.encode())
    honest, vkey = await proof_of(watched, 11, tmp_path / "honest"), await key_of(watched)
    assert checked("check", honest, "--key", vkey, "--witness", witness.vkey) == 0

    watched.stop()
    watched.delete_database()
    (tmp_path / "ledger" / "signer" / "head").unlink()
    await fresh_stream(events)
    last = await publish(events, [*plains(10), plain(11, run="forged"), *plains(size - 11, 12)])
    watched.start()
    after = await head_over(watched, last, witnessed=False)
    assert (after.tree_size, after.root_hash != before.root_hash) == (size, True)

    verdict = await watched.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))
    assert [each.name for each in verdict.checks if not each.ok] == ["witness"], "all else fits"
    (named,) = [each.detail for each in verdict.checks if not each.ok]
    assert "does not sign" in named
    await until(lambda: "WITNESS_REFUSED" in watched.log.read_text(), "the ledger said nothing")
    # Catching up, the ledger may have signed, and been refused, smaller heads before.
    await until(
        lambda: size in {each["size"] for each in witness.heads()["refused"]},
        "it did not keep what the log has signed",
    )
    assert [each["size"] for each in witness.heads()["heads"]] == [40]

    forged = await proof_of(watched, 11, tmp_path / "forged")
    assert checked("check", forged, "--key", vkey) == 0, "by the log's key alone nothing shows"
    assert checked("check", forged, "--key", vkey, "--witness", witness.vkey) == 1
    assert checked("check", honest, "--key", vkey, "--witness", witness.vkey) == 0
    growth = await growth_of(watched, before.checkpoint, tmp_path / "growth")
    assert checked("consistent", kept, growth, "--key", vkey, "--witness", witness.vkey) == 1

    last = await publish(events, [plain(size + 1)])
    assert (await head_over(watched, last, witnessed=False)).tree_size == size + 1, "and yet it goes on"


async def test_two_histories_for_two_clients_are_never_both_witnessed(
    watched: LedgerProcess,
    witness: WitnessProcess,
    events: Connection,
    nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    """A second ledger with the same key, over another stream, serves the second client."""
    last = await publish(events, plains(20))
    shown = await head_over(watched, last, witnessed=True)
    watched.stop()
    await fresh_stream(events)
    last = await publish(events, [*plains(5), plain(6, run="other"), *plains(14, 7)])
    other = LedgerProcess(tmp_path / "other", nats_server.url, PROVOST_LEDGER_WITNESSES=witness.setting)
    (tmp_path / "other" / "keys").mkdir(parents=True)
    copy = tmp_path / "other" / "keys" / "ledger.key"
    copy.write_bytes((tmp_path / "keys" / "ledger.key").read_bytes())
    copy.chmod(0o600)
    other.start()
    try:
        lied = await head_over(other, last, witnessed=False)
        assert await key_of(other) == (tmp_path / "ledger" / "witnessed" / "vkeys").read_text().strip()
    finally:
        other.stop()
    key = [read_witness_key(witness.vkey)]
    assert len(cosigned(shown.checkpoint, key)) == 1
    with pytest.raises(NotProved, match="0 of the 1"):
        cosigned(lied.checkpoint, key)


async def test_a_witness_that_is_killed_between_storing_and_answering_signs_on(
    watched: LedgerProcess, witness: WitnessProcess, events: Connection, tmp_path: Path
) -> None:
    last = await publish(events, plains(10))
    await head_over(watched, last, witnessed=True)
    witness.stop()
    keys = tmp_path / "ledger" / "witnessed" / "vkeys"
    dying = WitnessProcess(witness.home, keys, dies=True, port=witness.port)
    dying.start()
    last = await publish(events, plains(10, 11))
    await until(dying.has_ended, "it was not asked, or did not die")
    assert dying.stored() > 10, "it had not stored what it was about to sign"
    witness.start()
    last = await publish(events, plains(5, 21))
    await head_over(watched, last, witnessed=True)
    assert witness.size() == 25


async def test_a_witness_that_stands_still_stops_nothing(
    watched: LedgerProcess, witness: WitnessProcess, events: Connection
) -> None:
    last = await publish(events, plains(10))
    await head_over(watched, last, witnessed=True)
    witness.pause()
    last = await publish(events, plains(10, 11))
    assert (await head_over(watched, last, witnessed=False)).tree_size == 20
    assert watched.serving()
    verdict = await watched.ask("VerifyLedger", pb.VerifyLedgerRequest())
    assert verdict.ok
    (said,) = [each.detail for each in verdict.checks if each.name == "witness"]
    assert "cannot be asked" in said
    witness.resume()
    assert (await watched.ask("VerifyLedger", pb.VerifyLedgerRequest())).ok
    assert (await head_over(watched, last, witnessed=True)).tree_size == 20


async def test_a_witness_that_lost_its_memory_is_brought_back_by_what_it_has_signed(
    watched: LedgerProcess, witness: WitnessProcess, events: Connection, tmp_path: Path
) -> None:
    last = await publish(events, plains(10))
    head = await head_over(watched, last, witnessed=True)
    published = tmp_path / "checkpoint"
    published.write_bytes(head.checkpoint.encode())
    witness.stop()
    (witness.home / "witness" / "heads.db").unlink()
    with pytest.raises(RuntimeError, match="two histories"):
        witness.start()
    assert witness.restore(published) == "provost.local/main at 10\n"
    witness.start()
    assert witness.size() == 10
    last = await publish(events, plains(5, 11))
    await head_over(watched, last, witnessed=True)


def test_two_witnesses_with_one_key_are_not_let_in(witness: WitnessProcess, tmp_path: Path) -> None:
    second = WitnessProcess(witness.home, tmp_path / "none")
    with pytest.raises(RuntimeError, match="another witness holds"):
        second.start()
