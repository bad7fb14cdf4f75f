"""RepairLog over gRPC: an administrator of the tenant that keeps the shard, and nobody else."""

import grpc
import grpc.aio
import pytest

from provost.ledger.v1 import ledger_pb2 as pb
from tests.rpc.ledger.conftest import Caller


@pytest.mark.parametrize(
    ("roles", "tenant"),
    [(("auditor",), "default"), (("operator", "approver"), "default"), (("admin",), "acme")],
)
async def test_nobody_else_may_ask(viewer: Caller, roles: tuple[str, ...], tenant: str) -> None:
    caller = viewer.as_(*roles, tenant=tenant)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.ask("RepairLog", pb.RepairLogRequest(dry_run=True))
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_a_lost_end_is_told_and_put_back(viewer: Caller) -> None:
    admin, log = viewer.as_("admin"), viewer.bench.log
    with pytest.raises(grpc.aio.AioRpcError, match="holds all") as caught:
        await admin.ask("RepairLog", pb.RepairLogRequest())
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    whole = list(log.messages)
    del log.messages[30:]
    told = await admin.ask("RepairLog", pb.RepairLogRequest(dry_run=True))
    assert told == pb.RepairLogResponse(first_sequence=31, last_sequence=len(whole))
    assert len(log.messages) == 30
    done = await admin.ask("RepairLog", pb.RepairLogRequest())
    assert (done.published, log.messages) == (len(whole) - 30, whole)
