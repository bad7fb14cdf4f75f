"""State over gRPC: packets, locks, phases, errors, artifacts, handoffs."""

from contextlib import suppress
from datetime import datetime
from typing import Any

import grpc.aio

from chassis.rpc.client import call
from kernel.events import Cause
from kernel.faults import Fault, NotFound
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.orchestrator.domain.records import ErrorCounts, Handoff, Packet
from services.orchestrator.wire import COUNTS, HANDOFF, PACKET

HEARTBEAT_TTL_SECONDS = 30
ARTIFACT_SECONDS = 30.0


class GrpcState:
    """`ports.StateDoor`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._state: Any = StateServiceStub(channel)

    async def issue_packet(self, packet: Packet, cause: Cause) -> int:
        request = pb.IssuePacketRequest(request_id=cause.request_id, packet=PACKET.to_message(packet))
        return int((await call(self._state.IssuePacket, request, cause)).sequence)

    async def packet_of(self, agent_id: str, cause: Cause) -> Packet | None:
        request = pb.GetAgentStateRequest(agent_id=agent_id)
        try:
            agent = (await call(self._state.GetAgentState, request, cause)).agent
        except NotFound:
            return None
        return PACKET.to_record(agent.packet) if agent.HasField("packet") else None

    async def packet_for(self, agent_id: str, task_id: str, cause: Cause) -> Packet | None:
        listed = await call(self._state.ListPackets, pb.ListPacketsRequest(agent_id=agent_id), cause)
        # The newest come first, and one page holds all that state keeps at hand.
        return next((PACKET.to_record(each) for each in listed.packets if each.task_id == task_id), None)

    async def acquire_lock(
        self, agent_id: str, task_id: str, holder: str, lease_seconds: int, cause: Cause
    ) -> int:
        request = pb.AcquireLockRequest(
            request_id=cause.request_id,
            agent_id=agent_id,
            task_id=task_id,
            holder=holder,
            lease_seconds=lease_seconds,
        )
        return int((await call(self._state.AcquireLock, request, cause)).lock.fencing_token)

    async def advance(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        phase: str,
        fencing_token: int,
        lease_seconds: int,
        cause: Cause,
    ) -> ErrorCounts:
        request = pb.AdvanceRequest(
            request_id=cause.request_id,
            agent_id=agent_id,
            task_id=task_id,
            run_id=run_id,
            phase=phase,
            fencing_token=fencing_token,
            lease_seconds=lease_seconds,
        )
        return COUNTS.to_record((await call(self._state.Advance, request, cause)).errors)

    async def release_lock(
        self, agent_id: str, task_id: str, holder: str, fencing_token: int, cause: Cause
    ) -> None:
        request = pb.ReleaseLockRequest(
            request_id=cause.request_id,
            agent_id=agent_id,
            task_id=task_id,
            holder=holder,
            fencing_token=fencing_token,
        )
        try:
            await call(self._state.ReleaseLock, request, cause)
        except Fault as fault:
            if fault.reason != "FENCING_TOKEN_STALE":
                raise

    async def record_error(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        error_type: str,
        message: str,
        violation: bool,
        fencing_token: int,
        cause: Cause,
    ) -> tuple[ErrorCounts, int]:
        request = pb.RecordErrorRequest(
            request_id=cause.request_id,
            agent_id=agent_id,
            task_id=task_id,
            run_id=run_id,
            error_type=error_type,
            message=message,
            procedure_violation=violation,
            fencing_token=fencing_token,
        )
        answer = await call(self._state.RecordError, request, cause)
        return COUNTS.to_record(answer.errors), answer.sequence

    async def heartbeat(self, agent_id: str, cause: Cause) -> None:
        request = pb.HeartbeatRequest(agent_id=agent_id, ttl_seconds=HEARTBEAT_TTL_SECONDS)
        # State knows an agent from its first packet on; one that waits for work has nothing to be watched for.
        with suppress(NotFound):
            await call(self._state.Heartbeat, request, cause)

    async def waits(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        what: str,
        fencing_token: int,
        cause: Cause,
        until: datetime | None = None,
    ) -> None:
        kind = pb.Waiting.KIND_POLL if until else pb.Waiting.KIND_APPROVAL
        waiting = pb.Waiting(kind=kind, what=what) if what else None
        if waiting is not None and until is not None:
            waiting.until.FromDatetime(until)
        request = pb.ReportActivityRequest(
            request_id=cause.request_id,
            agent_id=agent_id,
            task_id=task_id,
            run_id=run_id,
            waiting=waiting,
            fencing_token=fencing_token,
        )
        try:
            await call(self._state.ReportActivity, request, cause)
        except Fault as fault:
            if fault.reason != "FENCING_TOKEN_STALE":
                raise

    async def put_artifact(
        self,
        content: bytes,
        name: str,
        media_type: str,
        task_id: str,
        run_id: str,
        cause: Cause,
        agent_id: str = "",
        fencing_token: int = 0,
    ) -> str:
        request = pb.PutArtifactRequest(
            request_id=cause.request_id,
            task_id=task_id,
            run_id=run_id,
            name=name,
            media_type=media_type,
            content=content,
            agent_id=agent_id,
            fencing_token=fencing_token,
        )
        return str((await call(self._state.PutArtifact, request, cause, ARTIFACT_SECONDS)).artifact.sha256)

    async def get_artifact(self, sha256: str, agent_id: str, run_id: str, cause: Cause) -> bytes:
        request = pb.GetArtifactRequest(sha256=sha256, agent_id=agent_id, run_id=run_id)
        return bytes((await call(self._state.GetArtifact, request, cause, ARTIFACT_SECONDS)).content)

    async def artifact_names(self, task_id: str, cause: Cause) -> frozenset[str]:
        names: set[str] = set()
        token = ""
        while True:
            request = pb.ListArtifactsRequest(task_id=task_id, page_size=500, page_token=token)
            answer = await call(self._state.ListArtifacts, request, cause)
            names.update(artifact.name for artifact in answer.artifacts)
            token = answer.next_page_token
            if not token:
                return frozenset(names)

    async def write_handoff(self, handoff: Handoff, cause: Cause) -> None:
        request = pb.WriteHandoffRequest(request_id=cause.request_id, handoff=HANDOFF.to_message(handoff))
        await call(self._state.WriteHandoff, request, cause)
