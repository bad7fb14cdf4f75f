"""Tiles, entries, proofs by index and waiting for them, over gRPC: what is answered, and to whom."""

import asyncio
from hashlib import sha256

import grpc.aio
import pytest

from chassis.rpc.faults import fault_of
from kernel.faults import Fault
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from services.ledger.domain import proofs
from services.ledger.domain.entry import entry_of
from tests.rpc.ledger.conftest import Caller
from tests.rpc.ledger.test_ledger import refused
from tests.unit.ledger.story import BEGIN, plain


async def entries(caller: Caller, request: pb.GetEntriesRequest) -> bytes:
    call = LedgerServiceStub(caller.channel).GetEntries(request, metadata=caller.metadata, timeout=20)
    return b"".join([each.piece async for each in call])


async def entries_refused(caller: Caller, request: pb.GetEntriesRequest) -> Fault:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await entries(caller, request)
    fault = fault_of(caught.value)
    assert isinstance(fault, Fault)
    return fault


async def test_an_auditor_reads_tiles_and_the_leaves_under_them(viewer: Caller) -> None:
    auditor = viewer.as_("viewer", "auditor")
    hashes = [entry_of(each).leaf_hash for each in viewer.bench.log.messages]
    tile = await auditor.ask("GetTile", pb.GetTileRequest(level=0, index=0, width=58))
    assert tile.hashes == b"".join(hashes)
    raw, leaves = await entries(auditor, pb.GetEntriesRequest(index=0, width=58)), []
    while raw:
        leaves.append(raw[2 : 2 + int.from_bytes(raw[:2], "big")])
        raw = raw[2 + len(leaves[-1]) :]
    assert [sha256(b"\x00" + leaf).digest() for leaf in leaves] == hashes


@pytest.mark.parametrize(
    ("level", "index", "width", "reason"),
    [
        (0, 0, 0, "TILE_UNKNOWN"),
        (0, 0, 59, "TILE_UNKNOWN"),
        (0, 1, 1, "TILE_UNKNOWN"),
        (1, 0, 1, "TILE_UNKNOWN"),
        (63, 2**63 - 1, 255, "TILE_UNKNOWN"),
        (64, 0, 0, "FIELD_INVALID"),
        (2**32 - 1, 0, 0, "FIELD_INVALID"),
        (0, 2**64 - 1, 0, "FIELD_INVALID"),
        (0, 0, 256, "FIELD_INVALID"),
    ],
)
async def test_tiles_that_are_not_there(
    viewer: Caller, level: int, index: int, width: int, reason: str
) -> None:
    auditor = viewer.as_("auditor")
    request = pb.GetTileRequest(level=level, index=index, width=width)
    assert (await refused(auditor, "GetTile", request)).reason == reason
    if level == 0:
        fault = await entries_refused(auditor, pb.GetEntriesRequest(index=index, width=width))
        assert fault.reason == reason


@pytest.mark.parametrize(
    ("roles", "tenant", "reason"),
    [
        (("viewer", "operator", "approver"), "default", "ROLE_MISSING"),
        (("service",), "default", "ROLE_MISSING"),
        ((), "default", "ROLE_MISSING"),
        (("admin", "auditor"), "acme", "TENANT_MISMATCH"),
    ],
)
async def test_what_shows_every_tenant_is_for_the_shards_auditors(
    viewer: Caller, roles: tuple[str, ...], tenant: str, reason: str
) -> None:
    caller = viewer.as_(*roles, tenant=tenant)
    assert (await refused(caller, "GetTile", pb.GetTileRequest(width=1))).reason == reason
    assert (await entries_refused(caller, pb.GetEntriesRequest(width=1))).reason == reason
    by_index = pb.GetInclusionProofRequest(leaf_index=0)
    assert (await refused(caller, "GetInclusionProof", by_index)).reason == reason


async def test_a_leaf_of_any_tenant_is_proved_by_index(viewer: Caller) -> None:
    auditor = viewer.as_("auditor")
    for index in (0, 57):
        proof = await auditor.ask("GetInclusionProof", pb.GetInclusionProofRequest(leaf_index=index))
        leaf = entry_of(viewer.bench.log.messages[index]).leaf_hash
        head = proof.tree_head
        assert proofs.includes(
            leaf=leaf, index=index, size=head.tree_size, path=list(proof.path), root=head.root_hash
        )
    for request, reason in (
        (pb.GetInclusionProofRequest(leaf_index=58), "TREE_SIZE_OUT_OF_RANGE"),
        (pb.GetInclusionProofRequest(leaf_index=2**64 - 1), "TREE_SIZE_OUT_OF_RANGE"),
        (pb.GetInclusionProofRequest(leaf_index=3, tree_size=3), "TREE_SIZE_OUT_OF_RANGE"),
        (pb.GetInclusionProofRequest(leaf_index=3, tree_size=59), "TREE_SIZE_OUT_OF_RANGE"),
        (pb.GetInclusionProofRequest(leaf_index=0, event_id="x"), "FIELD_INVALID"),
    ):
        assert (await refused(auditor, "GetInclusionProof", request)).reason == reason


async def test_an_event_is_proved_as_soon_as_a_signed_head_covers_it(viewer: Caller) -> None:
    new = plain(59)
    request = pb.AwaitInclusionRequest(event_id=entry_of(new).event_id, timeout_seconds=20)
    waiting = asyncio.ensure_future(viewer.ask("AwaitInclusion", request))
    viewer.bench.log.messages.append(new)
    await viewer.bench.catch_up()
    await viewer.bench.ledger.sign(BEGIN)
    proof = (await waiting).proof
    assert (proof.leaf_index, proof.tree_head.tree_size) == (58, 59)
    assert proof.tree_head.checkpoint
    assert (proof.leaf_hash, proof.payload) == (entry_of(new).leaf_hash, new.payload)
    stranger = viewer.as_("admin", tenant="acme")
    for caller, event_id, reason in (
        (stranger, request.event_id, "LEDGER_BEHIND"),
        (viewer, "nothing", "LEDGER_BEHIND"),
        (viewer, "", "EVENT_UNKNOWN"),
        (viewer.as_("superuser"), request.event_id, "ROLE_MISSING"),
    ):
        fault = await refused(caller, "AwaitInclusion", pb.AwaitInclusionRequest(event_id=event_id))
        assert fault.reason == reason
