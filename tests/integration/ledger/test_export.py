"""Exports of the ledger as it really runs: it goes on keeping and answering, and leaves no process behind."""

from functools import partial
from pathlib import Path

from chassis.eventlog.wire import Connection
from chassis.rpc import client
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from provost_sdk.exports.verifying import verify_export
from provost_sdk.note import read_key
from tests.fakes.wait import until
from tests.integration.ledger.process import _METADATA, KEY, LedgerProcess, publish
from tests.unit.ledger.story import plains, run
from tests.unit.sdk.exported import write


def children(ledger: LedgerProcess) -> list[str]:
    """The processes that make exports for it."""
    started = " ".join(said(task / "children") for task in Path(f"/proc/{ledger.pid}/task").iterdir())
    return [pid for pid in started.split() if "adapters.exporting" in said(Path(f"/proc/{pid}/cmdline"))]


def said(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # a thread or process that has ended in between


async def test_it_keeps_and_answers_while_it_exports(
    ledger: LedgerProcess, events: Connection, tmp_path: Path
) -> None:
    last = await publish(events, [*plains(3000), *run(first=3001)])
    head = await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=last))
    async with client.channel(ledger.address, internal_key=KEY) as channel:
        call = LedgerServiceStub(channel).ExportLedger(
            pb.ExportLedgerRequest(), metadata=_METADATA, timeout=60
        )
        files: dict[str, bytes] = {}
        newest = last
        while answer := await call.read():
            assert isinstance(answer, pb.ExportLedgerResponse)
            files[answer.path] = files.get(answer.path, b"") + answer.piece
            if answer.path.startswith("tile/entries/"):
                newest = await publish(events, plains(1, first=newest + 1))
                await ledger.ask(
                    "AwaitSequence", pb.AwaitSequenceRequest(sequence=newest, timeout_seconds=20)
                )
    assert newest > last + 10
    found = verify_export(write(files, tmp_path / "export"), [read_key(head.verifier_key)])
    assert found.manifest.head.root == head.tree_head.root_hash
    assert found.manifest.head.size == last
    await until(lambda: not children(ledger), "the process that exported is still there")


async def test_killed_in_the_middle_it_leaves_no_process_and_exports_again(
    ledger: LedgerProcess, events: Connection
) -> None:
    last = await publish(events, plains(2000))
    await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=last))
    async with client.channel(ledger.address, internal_key=KEY) as channel:
        call = LedgerServiceStub(channel).ExportLedger(
            pb.ExportLedgerRequest(), metadata=_METADATA, timeout=60
        )
        await call.read()
        (child,) = children(ledger)
        ledger.kill()
        call.cancel()
    await until(partial(gone, child), "the process that exported outlives the ledger")
    ledger.start()
    answers = await ledger.ask_all("ExportLedger", pb.ExportLedgerRequest(without_parquet=True))
    assert answers[-1].path == "manifest"


def gone(pid: str) -> bool:
    return said(Path(f"/proc/{pid}/cmdline")) == ""  # a zombie has none either
