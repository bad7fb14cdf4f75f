"""Labels and patience as the policy set in force has them: policy and state as they are, over one log."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chassis import process
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from kernel.events import Cause
from kernel.faults import Fault, Invalid
from provost.policy.v1 import policy_pb2
from provost.state.v1 import events_pb2
from provost.state.v1 import state_pb2 as pb
from services.policy.wire import CODEC as POLICY_CODEC
from services.state.domain.labels import RunLabelled
from services.state.domain.lock import Advance
from services.state.domain.packet import IssuePacket, Packet
from services.state.handlers.locks import Locks
from services.state.handlers.packets import Packets
from services.state.handlers.working import Working
from services.state.handlers.writing import Writing
from services.state.wire import CODEC
from tests.fakes.behind import behind as replica_behind
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.policy import conftest as policy
from tests.rpc.state.asks import (
    ROLES,
    acquire,
    advance,
    get_entry,
    issue,
    join,
    look,
    packet,
    put_entry,
    recorded,
    save,
    send,
    verify,
)
from tests.rpc.state.conftest import Running, cause, serving
from tests.rpc.state.test_tasks import put


@dataclass
class Both:
    policy: policy.Running
    state: Running

    async def publish(self, version: str, *, tail: str = "", tenant: str = "default") -> None:
        """A set with `tail` in place of the built-in labels; state knows of it when this returns."""
        who: dict[str, Any] = {"tenant": tenant, "roles": ("admin",)}
        shown = await self.policy.call("GetPolicySet", policy_pb2.GetPolicySetRequest(), **who)
        plain = str(shown.document).split("# What data a run may have read")[0].split("labels:")[0]
        document = plain.split("stuck_seconds:")[0].replace(f'"{shown.version}"', f'"{version}"', 1) + tail
        request = policy_pb2.PublishPolicySetRequest(document=document, replaces_version=shown.version)
        published = await self.policy.call("PublishPolicySet", request, **who)
        await self.state.sets.follower.reached(published.sequence)

    async def roll_back(self, to: str, instead_of: str) -> None:
        request = policy_pb2.RollbackPolicySetRequest(to_version=to, replaces_version=instead_of, why="wrong")
        back = await self.policy.call("RollbackPolicySet", request, roles=("admin",))
        await self.state.sets.follower.reached(back.sequence)


@pytest.fixture
async def both(tmp_path: Path, valkey_server: ValkeyServer) -> AsyncIterator[Both]:
    log = MemoryLog(CODEC)
    async with (
        policy.serving(log.for_service(POLICY_CODEC, "provost/policy"), tmp_path, policy.Clock()) as deciding,
        serving(log, valkey_server.url, tmp_path) as state,
    ):
        yield Both(deciding, state)


async def write_everything(state: Running, label: str) -> dict[str, Fault | None]:
    """What became of each way to write something that bears `label`."""
    labelled = packet("task-2", "sre-9")
    labelled.labels.append(label)
    handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-2", labels=[label])
    ways = {
        "entry": put_entry(state, f"of-{label}", '"x"', labels=[label]),
        "message": send(state, "x", labels=[label]),
        "checkpoint": save(state, "one", labels=[label]),
        "packet": client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=labelled), cause()),
        "handoff": client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause()),
        "artifact": client.call(state.stub.PutArtifact, put(content=label.encode(), labels=[label]), cause()),
    }
    found: dict[str, Fault | None] = {}
    for name, way in ways.items():
        try:
            await way
            found[name] = None
        except Fault as fault:
            found[name] = fault
    return found


def files(home: Path) -> int:
    return sum(each.is_file() for each in (home / "artifacts").rglob("*"))


async def test_labels_that_the_set_does_not_name_are_refused_until_it_is_taken_back(both: Both) -> None:
    state = both.state
    await join(state, "sre-1", "sre-2")
    assert set((await write_everything(state, "anything")).values()) == {None}, "nobody has published a set"
    await both.publish("2", tail="labels:\n  ours: Ours alone.\n  personal: Data about people.\n")
    end, stored = await state.log.last_sequence(), files(state.home)
    refused = await write_everything(state, "secret")
    for what, fault in refused.items():
        assert isinstance(fault, Invalid), what
        assert fault.reason == "LABEL_UNKNOWN"
        assert dict(fault.facts) | {"label": "secret", "policy_version": "2"} == dict(fault.facts)
        assert "policy set 2 has no label 'secret'" in fault.text
        assert "ours, personal" in fault.text
    assert await state.log.last_sequence() == end, "something was written all the same"
    assert files(state.home) == stored, "something was stored all the same"
    assert set((await write_everything(state, "ours")).values()) == {None}
    assert (await get_entry(state, "of-anything")).labels == ["anything"], "what is there stays readable"
    await both.publish("3", tail="labels: {}\n")
    assert "none" in str((await write_everything(state, "ours"))["entry"])
    await both.publish("4")
    assert set((await write_everything(state, "secret")).values()) == {None}, (
        "a set without labels names none"
    )
    await both.roll_back("2", "4")
    assert None not in (await write_everything(state, "lost")).values()
    await both.roll_back("4", "2")
    assert set((await write_everything(state, "lost")).values()) == {None}


async def test_old_labels_stick_to_who_reads_them_and_go_where_it_writes(both: Both) -> None:
    state = both.state
    await join(state, "sre-1", "sre-2")
    await put_entry(state, "old", '"x"', labels=["old"])
    await both.publish("2", tail="labels:\n  ours: Ours alone.\n")
    read = await get_entry(state, "old", agent_id="sre-2", run_id="run-sre-2")
    assert read.labels == ["old"]
    request = pb.GetAgentStateRequest(agent_id="sre-2")
    assert (await client.call(state.stub.GetAgentState, request, cause())).agent.labels == ["old"]
    written = await put_entry(state, "copy", '"x"', agent_id="sre-2", labels=["ours"])
    assert written.entry.labels == ["old", "ours"], "what it has read does not lose its label on the way"
    sent = await send(state, "x", from_agent_id="sre-2")
    assert sent.message.labels == ["old"]
    stored = await client.call(state.stub.PutArtifact, put(run_id="run-sre-2"), cause())
    assert stored.artifact.labels == ["old"]
    handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-2", blocking_issue="revoked")
    await client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause())
    shown = await client.call(state.stub.GetHandoff, pb.GetHandoffRequest(task_id="task-1"), cause())
    assert shown.handoff.labels == ["old"]
    assert (await put_entry(state, "own", '"x"', labels=["ours"])).entry.labels == ["ours"], (
        "sre-1 read nothing"
    )


@pytest.mark.parametrize("behind", [True, False])
async def test_a_run_is_given_its_packet_again_after_its_label_was_dropped(
    both: Both, behind: bool, valkey_server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = both.state
    mine, other = packet(), packet()
    mine.labels.append("personal")
    other.objective = "what another run does meanwhile"
    give = state.stub.IssuePacket
    async with serving(state.log, valkey_server.url, tmp_path / "other") as replica:
        await both.publish("2", tail="labels:\n  ours: Ours alone.\n  personal: Of people.\n")
        with replica_behind(replica.follower, monkeypatch) if behind else nullcontext():
            for each in (mine, other):
                await client.call(give, pb.IssuePacketRequest(packet=each), cause())
            await both.publish("3", tail="labels:\n  ours: Ours alone.\n")
            await replica.sets.follower.reached(await state.log.last_sequence())
            again = await client.call(replica.stub.IssuePacket, pb.IssuePacketRequest(packet=mine), cause())
    assert again.version == 3
    shown = await client.call(state.stub.GetPacket, pb.GetPacketRequest(agent_id="sre-1"), cause())
    assert shown.packet.labels == ["personal"]
    for elsewhere in (packet("task-2"), packet(agent_id="sre-2")):
        elsewhere.labels.append("personal")
        with pytest.raises(Invalid) as refused:
            await client.call(give, pb.IssuePacketRequest(packet=elsewhere), cause())
        assert refused.value.reason == "LABEL_UNKNOWN"


async def test_who_takes_on_a_labelled_packet_bears_its_labels(state: Running) -> None:
    issued = packet()
    issued.labels.append("personal")
    await client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=issued), cause())
    assert (await look(state)).labels == []
    request = pb.AcquireLockRequest(
        request_id="r-1", agent_id="sre-1", task_id="task-1", holder="run-1", lease_seconds=60
    )
    for _ in range(2):
        answer = await client.call(state.stub.AcquireLock, request, cause())
    assert (await look(state)).labels == ["personal"]
    assert answer.lock.holder == "run-1"
    told = [each for each in state.log.recorded() if each.event_type == "RunLabelled"]
    events = [events_pb2.RunLabelled.FromString(each.payload) for each in told]
    assert [(list(each.labels), each.run_id, each.by_reading) for each in events] == [
        (["personal"], "run-1", "packet"),
    ]


async def test_a_run_that_gave_its_agent_to_another_finds_its_labels_again(state: Running) -> None:
    await join(state, "sre-2")
    await put_entry(state, "secret", '"x"', agent_id="sre-2", labels=["secret"])
    await issue(state)
    first = (await acquire(state)).lock.fencing_token
    await get_entry(state, "secret", agent_id="sre-1", run_id="run-1")
    release = pb.ReleaseLockRequest(agent_id="sre-1", task_id="task-1", holder="run-1", fencing_token=first)
    await client.call(state.stub.ReleaseLock, release, cause())
    second = (await acquire(state, "run-2")).lock.fencing_token
    await advance(state, second, run_id="run-2")
    assert (await look(state)).labels == []
    assert (await put_entry(state, "of-2", '"x"')).entry.labels == [], "run-2 has read nothing"
    named = await put_entry(state, "of-1", '"x"', run_id="run-1")
    assert named.entry.labels == ["secret"], "what it is told to write for run-1 is run-1's"
    assert (await save(state, "one")).checkpoint.labels == ["secret"]
    stored = await client.call(state.stub.PutArtifact, put(name="report"), cause())
    assert stored.artifact.labels == ["secret"]
    handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-1")
    await client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause())
    left = await client.call(state.stub.GetHandoff, pb.GetHandoffRequest(task_id="task-1"), cause())
    assert left.handoff.labels == ["secret"], "either run may have left it"
    release.MergeFrom(pb.ReleaseLockRequest(holder="run-2", fencing_token=second))
    await client.call(state.stub.ReleaseLock, release, cause())
    third = (await acquire(state)).lock.fencing_token
    await advance(state, third)
    assert (await look(state)).labels == ["secret"]
    assert (await put_entry(state, "later", '"x"')).entry.labels == ["secret"]
    assert (await send(state, "x")).message.labels == ["secret"]
    assert (await send(state, "x", run_id="run-2")).message.labels == []
    assert (await verify(state)).equal


async def test_what_a_run_reads_as_one_agent_is_on_what_it_writes_as_another(state: Running) -> None:
    tokens = await join(state, "sre-1", "sre-2", holder="run-1")
    await put_entry(state, "secret", '"x"', agent_id="sre-2", labels=["secret"])
    await get_entry(state, "secret", agent_id="sre-2", run_id="run-1")
    shown: dict[str, Any] = {"run_id": "run-1", "fencing_token": tokens["sre-1"]}
    assert (await put_entry(state, "copy", '"x"', **shown)).entry.labels == ["secret"]
    assert (await send(state, "x", **shown)).message.labels == ["secret"]
    assert (await save(state, "one", **shown)).checkpoint.labels == ["secret"]
    stored = await client.call(state.stub.PutArtifact, put(agent_id="sre-1", **shown), cause())
    assert stored.artifact.labels == ["secret"]
    assert (await put_entry(state, "own", '"x"')).entry.labels == [], "without a run it is the agent's newest"
    person = await put_entry(state, "said", '"x"', actor="key:boss", run_id="run-1")
    assert person.entry.labels == [], "a person has not read it"


async def test_bytes_stored_again_without_labels_label_who_reads_them_all_the_same(state: Running) -> None:
    await join(state, "sre-1", "sre-2")
    await client.call(state.stub.PutArtifact, put(labels=["secret"]), cause())
    again = put(name="harmless.txt", agent_id="sre-1")
    again.run_id = ""
    stored = (await client.call(state.stub.PutArtifact, again, cause())).artifact
    assert stored.labels == []
    request = pb.GetArtifactRequest(sha256=stored.sha256, agent_id="sre-1", run_id="run-sre-1")
    got = await client.call(state.stub.GetArtifact, request, cause())
    assert (got.artifact.name, list(got.artifact.labels)) == ("harmless.txt", ["secret"])
    assert (await look(state)).labels == ["secret"]
    again.name = "report"
    made = (await client.call(state.stub.PutArtifact, again, cause())).artifact
    assert made.labels == ["secret"], "an agent that does not say which run stores it means its newest"
    again.agent_id = ""
    again.name = "nobody's"
    assert (await client.call(state.stub.PutArtifact, again, cause())).artifact.labels == []


async def test_each_tenant_is_as_patient_as_its_set_says(both: Both) -> None:
    sets = both.state.sets
    await both.publish("2", tail="stuck_seconds: 1\n", tenant="hasty")
    await both.publish("2", tail="stuck_seconds: 3600\n", tenant="slow")
    assert {each: sets.patience_seconds(each) for each in ("default", "hasty", "slow")} == {
        "default": 30.0,
        "hasty": 1.0,
        "slow": 3600.0,
    }
    for tenant in ("hasty", "slow"):
        await issue(both.state, tenant=tenant)
        request = pb.AcquireLockRequest(agent_id="sre-1", task_id="task-1", holder="run-1", lease_seconds=600)
        await client.call(both.state.stub.AcquireLock, request, cause(tenant=tenant), roles=ROLES)

    async def stuck(tenant: str) -> bool:
        return (await look(both.state, tenant=tenant)).HasField("stuck")

    await until(lambda: stuck("hasty"), "nobody noticed that the agent of a hasty tenant is stuck")
    assert not await stuck("slow")
    await both.publish("3", tail="stuck_seconds: 60\n", tenant="hasty")

    async def unstuck() -> bool:
        return not await stuck("hasty")

    await until(unstuck, "who is not stuck by the set that is in force now is still said to be")


async def test_a_state_that_starts_later_knows_the_set_before_it_is_asked(
    both: Both, tmp_path: Path, valkey_server: ValkeyServer
) -> None:
    await both.publish("2", tail="labels:\n  ours: Ours alone.\nstuck_seconds: 7\n")
    log = both.state.log.for_service(CODEC, "provost/state")
    async with serving(log, valkey_server.url, tmp_path) as later:
        await join(later, "sre-1", "sre-2")
        assert later.sets.patience_seconds("default") == 7.0
        with pytest.raises(Invalid, match="policy set 2 has no label"):
            await put_entry(later, "k", '"x"', labels=["secret"])


async def test_under_a_set_that_cannot_be_read_no_label_may_be_used(state: Running) -> None:
    await join(state, "sre-1", "sre-2")
    headers = b"NATS/1.0\r\nce-type: provost.policy.v1.PolicySetPublished\r\n\r\n"
    subject = "evt.default.policy.policyset.current.PolicySetPublished"
    sequence = state.log.put(subject, b"\xff\xff\xff", headers)
    await state.sets.follower.reached(sequence)
    with pytest.raises(Invalid, match="cannot be read"):
        await put_entry(state, "k", '"x"', labels=["secret"])
    await put_entry(state, "k", '"x"')


async def test_who_reads_artifacts_handoffs_and_checkpoints_takes_on_their_labels(state: Running) -> None:
    await join(state, "sre-1", "sre-2")
    stored = (await client.call(state.stub.PutArtifact, put(labels=["of-artifact"]), cause())).artifact
    handoff = pb.Handoff(task_id="task-1", previous_agent_id="sre-1", labels=["of-handoff"])
    await client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause())
    await save(state, "one", labels=["of-checkpoint"])

    async def labels() -> list[str]:
        request = pb.GetAgentStateRequest(agent_id="sre-2")
        return list((await client.call(state.stub.GetAgentState, request, cause())).agent.labels)

    artifact = pb.GetArtifactRequest(sha256=stored.sha256)
    assert (await client.call(state.stub.GetArtifact, artifact, cause())).content
    assert await labels() == [], "who looks on takes nothing on"
    artifact.MergeFrom(pb.GetArtifactRequest(agent_id="sre-2", run_id="run-sre-2"))
    assert (await client.call(state.stub.GetArtifact, artifact, cause())).content
    assert await labels() == ["of-artifact"]
    left = pb.GetHandoffRequest(task_id="task-1", agent_id="sre-2", run_id="run-sre-2")
    await client.call(state.stub.GetHandoff, left, cause())
    assert await labels() == ["of-artifact", "of-handoff"]
    request = pb.GetCheckpointRequest(run_id="run-1", agent_id="sre-2", reading_run_id="run-sre-2")
    await client.call(state.stub.GetCheckpoint, request, cause())
    assert await labels() == ["of-artifact", "of-checkpoint", "of-handoff"]


def later(request_id: str) -> Cause:
    """Once the lease is over."""
    return replace(cause(request_id), at=process.now() + timedelta(hours=2))


@pytest.mark.parametrize("stuck", [True, False])
async def test_a_packet_that_comes_while_the_lease_is_over_labels_who_renews_it(
    state: Running, stuck: bool
) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    working = Working(state.kept, state.view, state.sets, state.follower, Writing(state.view))
    asking, issued = later("packet"), Packet("sre-1", "task-1", "run-1", "names of patients", process.now())
    command = IssuePacket(replace(issued, labels=("personal",)), asking.at)
    if stuck:
        await Packets(state.kept, state.view, state.follower, working).issue(command, asking)
        assert (await look(state)).labels == ["personal"]
    else:  # whoever issued it died right then
        await state.kept.agents.handle("sre-1", command, asking)
    locks = Locks(state.kept, state.view, state.turns, working, Writing(state.view), process)
    asking = later("step")
    step = Advance("sre-1", "task-1", "run-1", "PLAN", "", token, 30, asking.actor, asking.at)
    await locks.advance(step, asking)
    assert (await look(state)).labels == ["personal"]
    written = await put_entry(state, "copy", '"the names"', fencing_token=token)
    assert written.entry.labels == ["personal"]


LISTS: list[tuple[str, Any, list[str]]] = [
    ("GetPacket", pb.GetPacketRequest(agent_id="sre-1", version=2), ["newer"]),
    ("ListPackets", pb.ListPacketsRequest(agent_id="sre-1", page_size=1), ["newest"]),
    ("ListPackets", pb.ListPacketsRequest(agent_id="sre-1"), ["newer", "newest"]),
    ("ListCheckpoints", pb.ListCheckpointsRequest(run_id="run-1", page_size=1), ["late"]),
    ("ListCheckpoints", pb.ListCheckpointsRequest(run_id="run-1"), ["early", "late"]),
]


@pytest.mark.parametrize(("name", "asked", "found"), LISTS)
async def test_who_lists_packets_or_checkpoints_takes_on_what_is_answered(
    state: Running, name: str, asked: Any, found: list[str]
) -> None:
    await join(state, "sre-2")
    await issue(state)
    for label in ("newer", "newest"):
        another = packet()
        another.objective, another.labels[:] = label, [label]
        await client.call(state.stub.IssuePacket, pb.IssuePacketRequest(packet=another), cause())
    for label in ("early", "late"):
        await save(state, label, labels=[label])
    call, asks = getattr(state.stub, name), type(asked)
    before = await client.call(call, asked, cause())
    assert not recorded_of(state, "sre-2"), "who looks on takes nothing on"
    who = "agent_id" if name == "ListCheckpoints" else "reading_agent_id"
    reading = asks(**{who: "sre-2", "reading_run_id": "run-sre-2"})
    reading.MergeFrom(asked)
    assert await client.call(call, reading, cause()) == before
    assert recorded_of(state, "sre-2") == [tuple(found)]
    for wrong, reason in (({who: "nobody"}, "AGENT_STATE_UNKNOWN"), ({"reading_run_id": ""}, "MALFORMED_ID")):
        refused = asks()
        refused.CopyFrom(reading)
        for field, value in wrong.items():
            setattr(refused, field, value)
        with pytest.raises(Fault) as caught:
            await client.call(call, refused, cause())
        assert caught.value.reason == reason
    with pytest.raises(Fault) as caught:
        await client.call(call, reading, cause(), roles=("viewer",))
    assert caught.value.reason == "ROLE_MISSING"


def recorded_of(state: Running, agent_id: str) -> list[tuple[str, ...]]:
    every = recorded(state, RunLabelled)
    return [each.labels for each in every if isinstance(each, RunLabelled) and each.agent_id == agent_id]


@pytest.mark.parametrize(
    ("agent_id", "run_id", "reason"),
    [
        ("nobody", "run-1", "AGENT_STATE_UNKNOWN"),
        ("sre-1", "", "MALFORMED_ID"),
        ("", "run-1", "MALFORMED_ID"),
    ],
)
async def test_what_could_not_stick_to_anybody_is_not_read(
    state: Running, agent_id: str, run_id: str, reason: str
) -> None:
    await join(state, "sre-1", "sre-2")
    stored = (await client.call(state.stub.PutArtifact, put(labels=["secret"]), cause())).artifact
    artifact = pb.GetArtifactRequest(sha256=stored.sha256, agent_id=agent_id, run_id=run_id)
    handoff = pb.GetHandoffRequest(task_id="task-1", agent_id=agent_id, run_id=run_id)
    saved = pb.GetCheckpointRequest(run_id="run-1", agent_id=agent_id, reading_run_id=run_id)
    asked: tuple[Awaitable[Any], ...] = (
        client.call(state.stub.GetArtifact, artifact, cause()),
        client.call(state.stub.GetHandoff, handoff, cause()),
        client.call(state.stub.GetCheckpoint, saved, cause()),
    )
    for each in asked:
        with pytest.raises(Fault) as caught:
            await each
        assert caught.value.reason == reason
    with pytest.raises(Fault) as caught:
        await client.call(state.stub.GetArtifact, artifact, cause(), roles=("viewer",))
    assert caught.value.reason == "ROLE_MISSING", "nobody makes another's run take something on"


async def test_no_agent_is_called_as_people_are(state: Running) -> None:
    request = pb.IssuePacketRequest(packet=packet(agent_id="key-boss"))
    with pytest.raises(Invalid, match="people write under such names"):
        await client.call(state.stub.IssuePacket, request, cause())
    assert await state.log.last_sequence() == 0
