"""Packets, locks, positions, errors, revocations."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.agent import IssuePacket, RecordError
from services.state.domain.lock import AcquireLock, Advance, ReleaseLock
from services.state.domain.snapshot import HeldLock
from services.state.handlers import Standing, State
from services.state.rpc.callers import READERS, WRITERS, admitted
from services.state.wire import AGENT, ERRORS, LOCK, REVOCATION, packet_from_wire

DEFAULT_LEASE_SECONDS = 60
DEFAULT_BEAT_SECONDS = 30


class AgentsRpc(StateServiceServicer):
    """What concerns one agent."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def IssuePacket(self, request: pb.IssuePacketRequest, context: Context) -> pb.IssuePacketResponse:
        cause = admitted(context, WRITERS, request.request_id)
        command = IssuePacket(packet_from_wire(request.packet, cause.at), cause.at)
        appended = await self._state.agents.issue_packet(command, cause)
        return pb.IssuePacketResponse(sequence=appended.sequence)

    async def AcquireLock(self, request: pb.AcquireLockRequest, context: Context) -> pb.AcquireLockResponse:
        cause = admitted(context, WRITERS, request.request_id)
        command = AcquireLock(
            request.agent_id,
            request.task_id,
            request.holder,
            request.lease_seconds or DEFAULT_LEASE_SECONDS,
            cause.at,
            self._state.agents.is_revoked(cause.tenant, request.agent_id),
        )
        standing = await self._state.agents.acquire_lock(command, cause)
        return pb.AcquireLockResponse(lock=lock_to_wire(standing), sequence=standing.sequence)

    async def Advance(self, request: pb.AdvanceRequest, context: Context) -> pb.AdvanceResponse:
        cause = admitted(context, WRITERS, request.request_id)
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
        standing = await self._state.agents.advance(command, cause)
        return pb.AdvanceResponse(
            errors=ERRORS.to_message(standing.errors),
            lock_expire_time=lock_to_wire(standing).expire_time,
            sequence=standing.sequence,
        )

    async def ReleaseLock(self, request: pb.ReleaseLockRequest, context: Context) -> pb.ReleaseLockResponse:
        cause = admitted(context, WRITERS, request.request_id)
        command = ReleaseLock(
            request.agent_id, request.task_id, request.holder, request.fencing_token, cause.actor, cause.at
        )
        standing = await self._state.agents.release_lock(command, cause)
        return pb.ReleaseLockResponse(sequence=standing.sequence)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        cause = admitted(context, WRITERS)
        seconds = request.ttl_seconds or DEFAULT_BEAT_SECONDS
        lifetime = await self._state.agents.heartbeat(request.agent_id, seconds, cause)
        response = pb.HeartbeatResponse()
        response.expire_time.FromDatetime(cause.at + lifetime)
        return response

    async def RecordError(self, request: pb.RecordErrorRequest, context: Context) -> pb.RecordErrorResponse:
        cause = admitted(context, WRITERS, request.request_id)
        command = RecordError(
            request.agent_id,
            request.task_id,
            request.run_id,
            request.error_type,
            request.message,
            request.procedure_violation,
            cause.at,
        )
        standing = await self._state.agents.record_error(command, cause)
        return pb.RecordErrorResponse(errors=ERRORS.to_message(standing.errors), sequence=standing.sequence)

    async def GetAgentState(
        self, request: pb.GetAgentStateRequest, context: Context
    ) -> pb.GetAgentStateResponse:
        cause = admitted(context, READERS)
        found = await self._state.agents.get_agent_state(request.agent_id, request.at_least_sequence, cause)
        return pb.GetAgentStateResponse(agent=AGENT.to_message(found))

    async def ListRevocations(
        self, request: pb.ListRevocationsRequest, context: Context
    ) -> pb.ListRevocationsResponse:
        cause = admitted(context, READERS)
        page = await self._state.agents.list_revocations(request.page_size, request.page_token, cause)
        revocations = [REVOCATION.to_message(each) for each in page.items]
        return pb.ListRevocationsResponse(revocations=revocations, next_page_token=page.next_page_token)


def lock_to_wire(standing: Standing) -> pb.Lock:
    lock = standing.lock
    assert lock is not None, "whoever is answered with a lock has one"
    return LOCK.to_message(HeldLock(lock.holder, lock.fencing_token, lock.expire_time))
