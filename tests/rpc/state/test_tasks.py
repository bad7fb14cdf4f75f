"""Artifacts, handoffs and revocations over a real channel."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chassis import process
from chassis.rpc import client
from kernel.events import Head, Stream
from kernel.faults import Denied, Exhausted, Invalid, NotFound
from provost.state.v1 import state_pb2 as pb
from services.state.adapters import ArtifactDirectory
from services.state.domain.faults import FencingTokenStale
from services.state.domain.labels import LabelRun
from services.state.domain.revocation import AgentRevoked
from services.state.domain.task import ArtifactStored
from services.state.handlers.fencing import Fencing
from services.state.handlers.tasks import Content, Tasks
from services.state.handlers.working import Working
from services.state.handlers.writing import Writing
from tests.rpc.state.asks import acquire, issue, recorded, verify
from tests.rpc.state.conftest import Running, cause

CONTENT = b"Mar  1 12:00:00 host sshd[1]: Failed password\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def put(**fields: object) -> pb.PutArtifactRequest:
    request = pb.PutArtifactRequest(
        task_id="task-1", run_id="run-1", name="log.txt", media_type="text/plain", content=CONTENT
    )
    request.MergeFrom(pb.PutArtifactRequest(**fields))  # type: ignore[arg-type]
    return request


async def test_an_artifact_is_kept_under_its_hash_and_stored_once(state: Running) -> None:
    first = await client.call(state.stub.PutArtifact, put(sha256=SHA256), cause())
    again = await client.call(state.stub.PutArtifact, put(), cause())
    assert (first.artifact.sha256, first.artifact.size_bytes) == (SHA256, len(CONTENT))
    assert again.artifact == first.artifact
    assert await state.log.last_sequence() == 1
    file = state.home / "artifacts" / "default" / SHA256[:2] / SHA256
    assert file.read_bytes() == CONTENT
    assert [each.name for each in file.parent.iterdir()] == [SHA256], "nothing is left beside it"
    got = await client.call(state.stub.GetArtifact, pb.GetArtifactRequest(sha256=SHA256), cause())
    assert (got.content, got.artifact) == (CONTENT, first.artifact)


async def test_a_damaged_artifact_is_none_and_is_mended_by_storing_it_again(state: Running) -> None:
    await client.call(state.stub.PutArtifact, put(), cause())
    file = state.home / "artifacts" / "default" / SHA256[:2] / SHA256
    file.write_bytes(CONTENT[:-1] + b"X")
    with pytest.raises(NotFound) as caught:
        await client.call(state.stub.GetArtifact, pb.GetArtifactRequest(sha256=SHA256), cause())
    assert caught.value.reason == "ARTIFACT_UNKNOWN"
    await client.call(state.stub.PutArtifact, put(), cause())
    got = await client.call(state.stub.GetArtifact, pb.GetArtifactRequest(sha256=SHA256), cause())
    assert got.content == CONTENT


async def again(state: Running, **fields: object) -> pb.PutArtifactResponse:
    request = put(request_id="once", **fields)
    return await client.call(state.stub.PutArtifact, request, cause())


async def test_asked_again_with_other_bytes_the_first_are_named_and_can_be_read(state: Running) -> None:
    """Sealed content is other bytes at each try."""
    first = await again(state)
    assert await again(state, content=b"sealed:v1:other") == first
    got = await client.call(state.stub.GetArtifact, pb.GetArtifactRequest(sha256=SHA256), cause())
    assert got.content == CONTENT
    assert len(recorded(state, ArtifactStored)) == 1
    kept = [each.name for each in (state.home / "artifacts").rglob("*") if each.is_file()]
    assert kept == [SHA256], "nothing is kept that no event names"


@pytest.mark.parametrize("other", [{"name": "other.txt"}, {"run_id": "run-2"}])
async def test_a_request_id_of_another_artifact_is_refused(state: Running, other: dict[str, str]) -> None:
    await again(state)
    with pytest.raises(Invalid) as refused:
        await again(state, **other)
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "request_id")


async def test_no_other_tenant_gets_an_artifact_not_even_by_its_hash(state: Running) -> None:
    await client.call(state.stub.PutArtifact, put(), cause())
    with pytest.raises(NotFound):
        await client.call(state.stub.GetArtifact, pb.GetArtifactRequest(sha256=SHA256), cause(tenant="acme"))


async def test_content_that_is_not_what_was_announced_is_refused(state: Running) -> None:
    with pytest.raises(Invalid) as caught:
        await client.call(state.stub.PutArtifact, put(sha256="0" * 64), cause())
    assert caught.value.reason == "ARTIFACT_HASH_MISMATCH"
    assert not (state.home / "artifacts").exists()


async def test_32_mib_are_taken_and_not_a_byte_more(state: Running) -> None:
    whole = put(content=b"x" * (32 * 1024 * 1024))
    answer = await client.call(state.stub.PutArtifact, whole, cause(), timeout_seconds=30)
    assert answer.artifact.size_bytes == 32 * 1024 * 1024
    got = await client.call(
        state.stub.GetArtifact,
        pb.GetArtifactRequest(sha256=answer.artifact.sha256),
        cause(),
        timeout_seconds=30,
    )
    assert len(got.content) == 32 * 1024 * 1024
    with pytest.raises(Exhausted) as caught:
        await client.call(
            state.stub.PutArtifact, put(content=whole.content + b"x"), cause(), timeout_seconds=30
        )
    assert caught.value.reason == "ARTIFACT_TOO_LARGE"


@pytest.mark.parametrize("sha256", ["", "../../../etc/passwd", "0" * 63, "G" * 64])
async def test_a_hash_is_a_hash(state: Running, sha256: str) -> None:
    with pytest.raises(Invalid):
        await client.call(state.stub.GetArtifact, pb.GetArtifactRequest(sha256=sha256), cause())


async def test_artifacts_are_listed_by_pages(state: Running) -> None:
    names = [f"n{n:02}" for n in range(40)]
    for name in names:
        await client.call(state.stub.PutArtifact, put(name=name), cause())
    seen, token = list[str](), ""
    while True:
        request = pb.ListArtifactsRequest(task_id="task-1", page_size=7, page_token=token)
        page = await client.call(state.stub.ListArtifacts, request, cause(), roles=("viewer",))
        seen += [each.name for each in page.artifacts]
        token = page.next_page_token
        if not token:
            break
    assert seen == names
    assert (await verify(state)).equal


async def test_the_next_agent_finds_the_handoff(state: Running) -> None:
    with pytest.raises(NotFound) as caught:
        await client.call(state.stub.GetHandoff, pb.GetHandoffRequest(task_id="task-1"), cause())
    assert caught.value.reason == "HANDOFF_UNKNOWN"
    handoff = pb.Handoff(
        task_id="task-1",
        previous_agent_id="sre-1",
        revoked=True,
        revocation_reason=pb.RevocationReason(type="ERROR_BUDGET_EXCEEDED", details="twice the same"),
        last_known_state=pb.LastKnownState(phase="EXECUTE", step="disk.cleanup"),
        what_was_tried=["disk.usage"],
        blocking_issue="no permission",
        required_next_actions=["ask for T2"],
        constraints_reminder=["never touch /etc"],
        artifacts=[SHA256],
    )
    written = await client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=handoff), cause())
    request = pb.GetHandoffRequest(task_id="task-1", at_least_sequence=written.sequence)
    found = await client.call(state.stub.GetHandoff, request, cause(), roles=("viewer",))
    assert found.handoff == handoff
    assert found.HasField("at")
    bare = pb.Handoff(task_id="task-1", previous_agent_id="sre-1")
    await client.call(state.stub.WriteHandoff, pb.WriteHandoffRequest(handoff=bare), cause())
    latest = await client.call(state.stub.GetHandoff, pb.GetHandoffRequest(task_id="task-1"), cause())
    assert not latest.handoff.revoked


async def revoke(state: Running, agent_id: str, tenant: str = "default") -> int:
    event = AgentRevoked(agent_id, "PERSON", "seen enough", "key:boss", process.now())
    stream = Stream(tenant, "policy", "agent", agent_id)
    appended = await state.log.append(stream, (event,), after=Head(), cause=cause(process.new_id(), tenant))
    return appended.sequence


async def test_revocations_are_listed_newest_first_and_a_revoked_agent_takes_no_lock(state: Running) -> None:
    await issue(state)
    for n in range(5):
        await revoke(state, f"other-{n}")
    await revoke(state, "elsewhere", tenant="acme")
    sequence = await revoke(state, "sre-1")
    await state.follower.reached(sequence)
    seen, token = list[str](), ""
    while True:
        request = pb.ListRevocationsRequest(page_size=2, page_token=token)
        page = await client.call(state.stub.ListRevocations, request, cause(), roles=("viewer",))
        seen += [each.agent_id for each in page.revocations]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["sre-1", "other-4", "other-3", "other-2", "other-1", "other-0"]
    with pytest.raises(Denied) as caught:
        await acquire(state)
    assert caught.value.reason == "AGENT_REVOKED"


class Slow(ArtifactDirectory):
    """Much happens while it stores something."""

    def __init__(self, root: Path, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(root, process.new_id)
        self._meanwhile = meanwhile

    async def put(self, tenant: str, sha256: str, content: bytes) -> None:
        await super().put(tenant, sha256, content)
        await self._meanwhile()


def storing(state: Running, meanwhile: Callable[[], Awaitable[object]]) -> Tasks:
    writing = Writing(state.view)
    working = Working(state.kept, state.view, state.sets, state.follower, writing)
    slow = Slow(state.home / "artifacts", meanwhile)
    fencing = Fencing(state.kept, working, writing, process)
    return Tasks(state.kept, state.view, state.follower, slow, working, fencing)


async def test_a_lock_that_is_lost_while_an_artifact_is_stored_leaves_it_unnamed(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token

    async def another_takes_over() -> None:
        release = pb.ReleaseLockRequest(agent_id="sre-1", holder="run-1", fencing_token=token)
        await client.call(state.stub.ReleaseLock, release, cause())
        await acquire(state, "run-2")

    content = Content(
        "task-1", "run-1", "log.txt", "text/plain", CONTENT, agent_id="sre-1", fencing_token=token
    )
    with pytest.raises(FencingTokenStale):
        await storing(state, another_takes_over).put_artifact(content, cause("put"))
    assert not recorded(state, ArtifactStored)


async def test_an_artifact_bears_what_its_run_read_while_it_was_stored(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token

    async def something_is_read() -> None:
        labels = LabelRun("sre-1", "run-1", ("pii",), "messages", process.now())
        await state.kept.agents.handle("sre-1", labels, cause("read"))

    content = Content(
        "task-1", "run-1", "log.txt", "text/plain", CONTENT, agent_id="sre-1", fencing_token=token
    )
    stored, _ = await storing(state, something_is_read).put_artifact(content, cause("put"))
    assert stored.labels == ("pii",)
