"""Unwrap, ask, wrap: state over gRPC. Writes need the role service; every known role may read."""

from chassis.rpc.cause import ALL_ROLES, Context, caller_of, cause_of
from kernel.events import Cause
from kernel.faults import Denied
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.agent import IssuePacket, RecordError
from services.state.domain.documents import tenant_of
from services.state.domain.lock import AcquireLock, Advance, ReleaseLock
from services.state.domain.snapshot import HeldLock
from services.state.domain.task import WriteHandoff
from services.state.handlers import Content, Standing, State
from services.state.wire import (
    AGENT,
    ARTIFACT,
    ERRORS,
    LOCK,
    REVOCATION,
    WRITTEN,
    handoff_from_wire,
    packet_from_wire,
)

DEFAULT_LEASE_SECONDS = 60
DEFAULT_BEAT_SECONDS = 30
MAX_MESSAGE_BYTES = 34 * 1024 * 1024

WRITERS = frozenset({"service"})
READERS = ALL_ROLES
CHECKERS = frozenset({"auditor", "admin", "service"})
MENDERS = frozenset({"admin", "service"})


def _admitted(context: Context, roles: frozenset[str], request_id: str = "") -> Cause:
    """The cause of the call, if who makes it has one of `roles`.

    Raises:
        Denied: they have none (reason `ROLE_MISSING`).
    """
    if not roles & caller_of(context).roles:
        needed = ", ".join(sorted(roles))
        raise Denied("ROLE_MISSING", f"this needs one of the roles {needed}", roles=needed)
    return cause_of(context, request_id)


class StateServicer(StateServiceServicer):
    """Answers for `provost.state.v1.StateService`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def IssuePacket(self, request: pb.IssuePacketRequest, context: Context) -> pb.IssuePacketResponse:
        cause = _admitted(context, WRITERS, request.request_id)
        command = IssuePacket(packet_from_wire(request.packet, cause.at), cause.at)
        appended = await self._state.issue_packet(command, cause)
        return pb.IssuePacketResponse(sequence=appended.sequence)

    async def AcquireLock(self, request: pb.AcquireLockRequest, context: Context) -> pb.AcquireLockResponse:
        cause = _admitted(context, WRITERS, request.request_id)
        command = AcquireLock(
            request.agent_id,
            request.task_id,
            request.holder,
            request.lease_seconds or DEFAULT_LEASE_SECONDS,
            cause.at,
            self._state.is_revoked(cause.tenant, request.agent_id),
        )
        standing = await self._state.acquire_lock(command, cause)
        return pb.AcquireLockResponse(lock=_lock(standing), sequence=standing.sequence)

    async def Advance(self, request: pb.AdvanceRequest, context: Context) -> pb.AdvanceResponse:
        cause = _admitted(context, WRITERS, request.request_id)
        command = Advance(
            request.agent_id,
            request.task_id,
            request.run_id,
            request.phase,
            request.step,
            request.fencing_token,
            request.lease_seconds or DEFAULT_LEASE_SECONDS,
            cause.actor,
            cause.at,
        )
        standing = await self._state.advance(command, cause)
        return pb.AdvanceResponse(
            errors=ERRORS.to_message(standing.errors),
            lock_expire_time=_lock(standing).expire_time,
            sequence=standing.sequence,
        )

    async def ReleaseLock(self, request: pb.ReleaseLockRequest, context: Context) -> pb.ReleaseLockResponse:
        cause = _admitted(context, WRITERS, request.request_id)
        command = ReleaseLock(
            request.agent_id, request.task_id, request.holder, request.fencing_token, cause.actor, cause.at
        )
        standing = await self._state.release_lock(command, cause)
        return pb.ReleaseLockResponse(sequence=standing.sequence)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        cause = _admitted(context, WRITERS)
        seconds = request.ttl_seconds or DEFAULT_BEAT_SECONDS
        lifetime = await self._state.heartbeat(request.agent_id, seconds, cause)
        response = pb.HeartbeatResponse()
        response.expire_time.FromDatetime(cause.at + lifetime)
        return response

    async def RecordError(self, request: pb.RecordErrorRequest, context: Context) -> pb.RecordErrorResponse:
        cause = _admitted(context, WRITERS, request.request_id)
        command = RecordError(
            request.agent_id,
            request.task_id,
            request.run_id,
            request.error_type,
            request.message,
            request.procedure_violation,
            cause.at,
        )
        standing = await self._state.record_error(command, cause)
        return pb.RecordErrorResponse(errors=ERRORS.to_message(standing.errors), sequence=standing.sequence)

    async def GetAgentState(
        self, request: pb.GetAgentStateRequest, context: Context
    ) -> pb.GetAgentStateResponse:
        cause = _admitted(context, READERS)
        found = await self._state.get_agent_state(request.agent_id, request.at_least_sequence, cause)
        return pb.GetAgentStateResponse(agent=AGENT.to_message(found))

    async def PutArtifact(self, request: pb.PutArtifactRequest, context: Context) -> pb.PutArtifactResponse:
        cause = _admitted(context, WRITERS, request.request_id)
        wanted = Content(
            request.task_id, request.run_id, request.name, request.media_type, request.content, request.sha256
        )
        artifact, sequence = await self._state.put_artifact(wanted, cause)
        return pb.PutArtifactResponse(artifact=ARTIFACT.to_message(artifact), sequence=sequence)

    async def GetArtifact(self, request: pb.GetArtifactRequest, context: Context) -> pb.GetArtifactResponse:
        artifact, content = await self._state.get_artifact(request.sha256, _admitted(context, READERS))
        return pb.GetArtifactResponse(artifact=ARTIFACT.to_message(artifact), content=content)

    async def ListArtifacts(
        self, request: pb.ListArtifactsRequest, context: Context
    ) -> pb.ListArtifactsResponse:
        cause = _admitted(context, READERS)
        page = await self._state.list_artifacts(request.task_id, request.page_size, request.page_token, cause)
        artifacts = [ARTIFACT.to_message(each) for each in page.items]
        return pb.ListArtifactsResponse(artifacts=artifacts, next_page_token=page.next_page_token)

    async def WriteHandoff(
        self, request: pb.WriteHandoffRequest, context: Context
    ) -> pb.WriteHandoffResponse:
        cause = _admitted(context, WRITERS, request.request_id)
        command = WriteHandoff(handoff_from_wire(request.handoff), cause.at)
        appended = await self._state.write_handoff(command, cause)
        return pb.WriteHandoffResponse(sequence=appended.sequence)

    async def GetHandoff(self, request: pb.GetHandoffRequest, context: Context) -> pb.GetHandoffResponse:
        cause = _admitted(context, READERS)
        return WRITTEN.to_message(
            await self._state.get_handoff(request.task_id, request.at_least_sequence, cause)
        )

    async def ListRevocations(
        self, request: pb.ListRevocationsRequest, context: Context
    ) -> pb.ListRevocationsResponse:
        cause = _admitted(context, READERS)
        page = await self._state.list_revocations(request.page_size, request.page_token, cause)
        revocations = [REVOCATION.to_message(each) for each in page.items]
        return pb.ListRevocationsResponse(revocations=revocations, next_page_token=page.next_page_token)

    async def RebuildStore(
        self, request: pb.RebuildStoreRequest, context: Context
    ) -> pb.RebuildStoreResponse:
        _admitted(context, MENDERS)
        rebuilt = await self._state.rebuild_store()
        return pb.RebuildStoreResponse(events=rebuilt.events, state_hash=rebuilt.state_hash)

    async def VerifyStore(self, request: pb.VerifyStoreRequest, context: Context) -> pb.VerifyStoreResponse:
        cause = _admitted(context, CHECKERS)
        verdict = await self._state.verify_store()
        return pb.VerifyStoreResponse(
            equal=verdict.equal,
            store_hash=verdict.store_hash,
            log_hash=verdict.log_hash,
            # The store is compared whole; of what differs, a caller is told its own tenant's names.
            differing_keys=[key for key in verdict.differing_keys if tenant_of(key) == cause.tenant],
            at_sequence=verdict.at_sequence,
        )


def _lock(standing: Standing) -> pb.Lock:
    lock = standing.lock
    assert lock is not None, "whoever is answered with a lock has one"
    return LOCK.to_message(HeldLock(lock.holder, lock.fencing_token, lock.expire_time))
