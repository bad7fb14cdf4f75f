"""Checkpoints and packets over gRPC: numbered, kept so many, read back as they were."""

import os
from typing import Any

import pytest

from chassis import process
from chassis.rpc import client
from kernel.faults import Fault, Invalid, NotFound, Refused
from provost.state.v1 import state_pb2 as pb
from services.state.adapters import ArtifactDirectory, forgetting_after
from services.state.domain.checkpoints import KEPT
from services.state.domain.view import KEPT_PACKETS
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, issue, join, look, packet, save, verify
from tests.rpc.state.conftest import Running, cause
from tests.rpc.state.test_tasks import put


async def got(
    state: Running, number: int = 0, run_id: str = "run-1", tenant: str = "default"
) -> pb.Checkpoint:
    request = pb.GetCheckpointRequest(run_id=run_id, number=number)
    return (await client.call(state.stub.GetCheckpoint, request, cause(tenant=tenant))).checkpoint


async def numbers(state: Running, page_size: int = 0) -> list[int]:
    found, token = list[int](), ""
    while True:
        request = pb.ListCheckpointsRequest(run_id="run-1", page_size=page_size, page_token=token)
        page = await client.call(state.stub.ListCheckpoints, request, cause())
        found += [each.number for each in page.checkpoints]
        token = page.next_page_token
        if not token:
            return found


async def test_a_checkpoint_is_read_back_as_it_was_saved(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    stored = (await client.call(state.stub.PutArtifact, put(), cause())).artifact
    saved = await save(
        state,
        "disk.usage",
        fencing_token=token,
        artifact_sha256=stored.sha256,
        note="half way",
        labels=["secret"],
    )
    assert (saved.checkpoint.number, saved.checkpoint.sequence) == (1, saved.sequence)
    assert await got(state) == await got(state, 1) == saved.checkpoint
    assert (saved.checkpoint.artifact_sha256, list(saved.checkpoint.labels)) == (stored.sha256, ["secret"])


async def test_what_checkpoints_of_runs_that_go_on_name_is_not_too_old_and_what_is_gone_they_may_not_name(
    state: Running,
) -> None:
    await join(state, "sre-1")
    stored = [
        (await client.call(state.stub.PutArtifact, put(content=each), cause())).artifact.sha256
        for each in (b"of a run at work", b"not named", b"of a run that waits", b"of a run that is over")
    ]
    waiting = pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="approval-1")
    for run_id, sha256 in (("waits", stored[2]), ("is-over", stored[3])):
        token = (await join(state, "sre-2", holder=run_id))["sre-2"]
        await save(state, "s1", artifact_sha256=sha256, run_id=run_id)
        of: dict[str, Any] = {"agent_id": "sre-2", "task_id": "task-1", "fencing_token": token}
        await client.call(state.stub.ReleaseLock, pb.ReleaseLockRequest(holder=run_id, **of), cause())
        if run_id == "waits":
            waits = pb.ReportActivityRequest(run_id=run_id, waiting=waiting, **of)
            await client.call(state.stub.ReportActivity, waits, cause())
    await save(state, "s1", artifact_sha256=stored[0], run_id="run-sre-1")
    files = [state.home / "artifacts" / "default" / each[:2] / each for each in stored]
    for each in files:
        os.utime(each, (1000.0, 1000.0))
    await state.follower.reached(await state.log.last_sequence())
    contents = ArtifactDirectory(state.home / "artifacts", process.new_id)
    async with forgetting_after(contents, 1.0, process.now, state.view):
        await until(lambda: not (files[1].exists() or files[3].exists()), "what is too old was not deleted")
    assert files[0].exists()
    assert files[2].exists()
    with pytest.raises(NotFound) as caught:
        await save(state, "s2", artifact_sha256=stored[1])
    assert caught.value.reason == "ARTIFACT_UNKNOWN"
    await save(state, "s3", artifact_sha256=stored[0])
    assert files[0].stat().st_mtime > 1000.0, "it is kept from then on"


async def test_the_newest_are_kept_and_numbers_are_not_used_again(state: Running) -> None:
    await join(state, "sre-1")
    assert await numbers(state) == []
    for n in range(KEPT + 5):
        await save(state, f"s{n}")
    kept = list(range(KEPT + 5, 5, -1))
    assert await numbers(state) == await numbers(state, 1) == await numbers(state, 7) == kept
    assert (await got(state)).step == f"s{KEPT + 4}"
    with pytest.raises(NotFound) as caught:
        await got(state, 5)
    assert caught.value.reason == "CHECKPOINT_UNKNOWN"
    assert (await verify(state)).equal
    await state.store.flushall()
    assert await numbers(state) == kept
    assert (await verify(state)).equal


@pytest.mark.parametrize("let_go", [True, False])
async def test_a_request_id_of_another_checkpoint_is_refused(state: Running, let_go: bool) -> None:
    await save(state, "s0", request_id="once")
    for n in range(21 if let_go else 0):
        await save(state, f"t{n}")
    with pytest.raises(Invalid) as refused:
        await save(state, "s1", request_id="once")
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "request_id")


async def test_a_request_asked_again_is_answered_as_before(state: Running) -> None:
    await join(state, "sre-1")
    stored = (await client.call(state.stub.PutArtifact, put(), cause())).artifact.sha256
    first = await save(state, "s0", request_id="once", artifact_sha256=stored)
    assert await save(state, "s0", request_id="once", artifact_sha256=stored) == first
    for n in range(1, KEPT + 2):
        await save(state, f"s{n}")
    (state.home / "artifacts" / "default" / stored[:2] / stored).unlink()
    assert await save(state, "s0", request_id="once", artifact_sha256=stored) == first


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"artifact_sha256": "0" * 64}, "ARTIFACT_UNKNOWN"),
        ({"artifact_sha256": "short"}, "FIELD_INVALID"),
        ({"note": "x" * 1001}, "FIELD_INVALID"),
        ({"labels": ["No Label"]}, "FIELD_INVALID"),
        ({"step": "no spaces"}, "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_saved_leaves_nothing_behind(
    state: Running, fields: dict[str, Any], reason: str
) -> None:
    await join(state, "sre-1")
    before = await state.log.last_sequence()
    with pytest.raises(Fault) as caught:
        await save(state, **{"step": "s1", **fields})
    assert caught.value.reason == reason
    assert await state.log.last_sequence() == before


async def test_an_artifact_of_another_tenant_is_none(state: Running) -> None:
    await join(state, "sre-1")
    theirs = (await client.call(state.stub.PutArtifact, put(), cause(tenant="acme"))).artifact
    with pytest.raises(NotFound) as caught:
        await save(state, "s1", artifact_sha256=theirs.sha256)
    assert caught.value.reason == "ARTIFACT_UNKNOWN"
    await save(state, "s1")
    with pytest.raises(NotFound):
        await got(state, tenant="acme")


async def test_a_stale_token_saves_nothing_and_is_recorded(state: Running) -> None:
    token = (await join(state, "sre-1"))["sre-1"]
    with pytest.raises(Refused) as caught:
        await save(state, "s1", fencing_token=token + 1)
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    assert state.log.recorded()[-1].event_type == "StaleTokenRefused"
    assert await numbers(state) == []


async def test_a_packet_never_changes_and_a_new_version_supersedes_it(state: Running) -> None:
    await issue(state)
    request = pb.IssuePacketRequest(packet=packet("task-2"), request_id="r1")
    request.packet.labels.append("secret")
    issued = await client.call(state.stub.IssuePacket, request, cause())
    assert issued.version == 2
    third = await client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=packet("task-3")), cause())
    assert third.version == 3
    again = await client.call(state.stub.IssuePacket, request, cause())
    assert again == issued
    seen = {}
    for version in range(4):
        asked = pb.GetPacketRequest(agent_id="sre-1", version=version)
        seen[version] = (await client.call(state.stub.GetPacket, asked, cause())).packet
    assert [seen[n].task_id for n in range(4)] == ["task-3", "task-1", "task-2", "task-3"]
    assert list(seen[2].labels) == ["secret"]
    assert seen[0] == seen[3] == (await look(state)).packet
    for agent_id, version in (("sre-1", 4), ("nobody", 0)):
        unknown = pb.GetPacketRequest(agent_id=agent_id, version=version)
        with pytest.raises(NotFound) as caught:
            await client.call(state.stub.GetPacket, unknown, cause())
        assert caught.value.reason == "PACKET_UNKNOWN"
        assert "no packet of" in caught.value.text
    bad = pb.IssuePacketRequest(packet=packet())
    bad.packet.labels.append("No Label")
    with pytest.raises(Invalid) as invalid:
        await client.call(state.stub.IssuePacket, bad, cause())
    assert invalid.value.reason == "PACKET_INVALID"


async def test_packets_are_listed_newest_first_and_the_newest_are_at_hand(state: Running) -> None:
    for n in range(KEPT_PACKETS + 3):
        await issue(state, f"task-{n}")
    found, token = list[int](), ""
    while True:
        request = pb.ListPacketsRequest(agent_id="sre-1", page_size=20, page_token=token)
        page = await client.call(state.stub.ListPackets, request, cause())
        found += [each.version for each in page.packets]
        token = page.next_page_token
        if not token:
            break
    assert found == list(range(KEPT_PACKETS + 3, 3, -1))
    with pytest.raises(NotFound, match="version 3 .* is no longer kept: it is at version 53"):
        await client.call(state.stub.GetPacket, pb.GetPacketRequest(agent_id="sre-1", version=3), cause())
    assert (await verify(state)).equal
    await acquire(state, task_id=f"task-{KEPT_PACKETS + 2}")
