"""`ExportLedger`: what is sent verifies with the public key alone, to whom it is sent, and what it keeps from whom."""

import asyncio
import resource
from pathlib import Path

import grpc.aio
import pytest

from chassis.rpc.faults import fault_of
from kernel.faults import Fault
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from provost_sdk.exports.verifying import verify_export
from provost_sdk.note import read_key
from services.ledger.domain.entry import Message
from tests.rpc.ledger.conftest import Caller
from tests.unit.ledger.story import BEGIN, plain, plains
from tests.unit.sdk.exported import write

Call = grpc.aio.UnaryStreamCall[pb.ExportLedgerRequest, pb.ExportLedgerResponse]


def begun(caller: Caller, *, parquet: bool = True) -> Call:
    request = pb.ExportLedgerRequest(without_parquet=not parquet)
    return LedgerServiceStub(caller.channel).ExportLedger(request, metadata=caller.metadata, timeout=60)


async def exported(caller: Caller, *, parquet: bool = True) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    async for answer in begun(caller, parquet=parquet):
        files[answer.path] = files.get(answer.path, b"") + answer.piece
        assert answer.events <= answer.target
    return files


async def refused(caller: Caller) -> Fault:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await exported(caller)
    fault = fault_of(caught.value)
    assert isinstance(fault, Fault)
    return fault


async def test_what_is_sent_verifies_with_the_public_key_alone(viewer: Caller, tmp_path: Path) -> None:
    files = await exported(viewer.as_("auditor"))
    assert list(files)[-1] == "manifest"
    key = read_key((await viewer.ask("GetTreeHead", pb.GetTreeHeadRequest())).verifier_key)
    found = verify_export(write(files, tmp_path / "export"), [key])
    assert (found.manifest.head.size, found.parquet) == (58, True)
    assert (
        b"evt.acme." in files["events/00000.jsonl"]
    )  # every tenant's: that is why only this one's auditor gets it


async def test_two_exports_of_one_head_are_the_same_and_later_events_are_in_neither(viewer: Caller) -> None:
    one = await exported(viewer.as_("admin"))
    viewer.bench.log.messages.extend(plains(20, first=59))
    await viewer.bench.catch_up()
    assert await exported(viewer.as_("auditor")) == one
    await viewer.bench.ledger.sign(BEGIN)
    later = await exported(viewer.as_("auditor"), parquet=False)
    assert b"\nsize 78\n" in later["manifest"]
    assert not any(path.endswith("parquet") for path in later)


@pytest.mark.parametrize(
    ("roles", "tenant"),
    [
        (("viewer",), "default"),
        (("operator", "service"), "default"),
        (("auditor", "admin"), "acme"),
        ((), "default"),
    ],
)
async def test_others_than_the_shard_s_auditors_get_nothing(
    roles: tuple[str, ...], tenant: str, viewer: Caller
) -> None:
    reason = "ROLE_MISSING" if tenant == "default" else "TENANT_MISMATCH"
    assert (await refused(viewer.as_(*roles, tenant=tenant))).reason == reason


async def test_one_at_a_time_and_the_next_one_after_it(viewer: Caller) -> None:
    first = begun(viewer.as_("auditor"))
    assert isinstance(await first.read(), pb.ExportLedgerResponse)
    fault = await refused(viewer.as_("auditor"))
    assert (fault.reason, "an export is going on" in fault.text) == ("EXPORT_RUNNING", True)
    first.cancel()
    await until_free(viewer)


async def until_free(caller: Caller) -> None:
    async def free() -> bool:
        call = begun(caller.as_("auditor"))
        try:
            answer = await call.read()
            call.cancel()
            return isinstance(answer, pb.ExportLedgerResponse)
        except grpc.aio.AioRpcError as error:
            fault = fault_of(error)
            assert isinstance(fault, Fault)
            assert fault.reason == "EXPORT_RUNNING"
            return False

    async with asyncio.timeout(20):
        while not await free():
            await asyncio.sleep(0.05)


async def test_who_stops_reading_holds_up_nobody_and_no_memory(viewer: Caller) -> None:
    # 60 MB once they are base64: more than any window between the two takes.
    head = plain(1).header
    viewer.bench.log.messages.extend(
        Message(59 + n, f"evt.default.x.y.z.Big{n}", head, bytes(450_000)) for n in range(100)
    )
    await viewer.bench.catch_up()
    await viewer.bench.ledger.sign(BEGIN)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stopped = begun(viewer.as_("auditor"))
    assert isinstance(await stopped.read(), pb.ExportLedgerResponse)  # and never again
    await viewer.ask("GetTreeHead", pb.GetTreeHeadRequest())
    await until_free(viewer)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, f"{grown} kB"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_on(stopped)
    fault = fault_of(caught.value)
    assert isinstance(fault, Fault)
    assert (fault.reason, "nothing was read for" in fault.text) == ("DEADLINE_EXCEEDED", True)


async def read_on(call: Call) -> None:
    while await call.read():
        pass


async def test_edited_rows_are_not_exported_as_if_they_were_signed(viewer: Caller) -> None:
    import sqlite3

    db = sqlite3.connect(viewer.bench.database, isolation_level=None)
    for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    db.execute("UPDATE events SET payload = x'00' WHERE sequence = 20")
    fault = await refused(viewer.as_("auditor"))
    assert (fault.reason, "do not give the root that is signed" in fault.text) == ("LEDGER_DIVERGED", True)
    db.execute("DELETE FROM events WHERE sequence = 20")
    db.close()
    fault = await refused(viewer.as_("auditor"))
    assert (fault.reason, fault.facts["sequence"]) == ("LEDGER_DIVERGED", "20")


async def test_without_a_head_there_is_nothing_to_export(
    viewer: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.bench.ledger._reached.head = None
    monkeypatch.setattr("services.ledger.handlers.proving.HEAD_WAIT_SECONDS", 0.05)
    assert (await refused(viewer.as_("auditor"))).reason == "LEDGER_BEHIND"


async def test_a_process_that_dies_is_told(viewer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ledger.adapters.exporting.exporter.sys.executable", "/bin/false")
    assert (await refused(viewer.as_("auditor"))).reason == "STORE_UNREACHABLE"
