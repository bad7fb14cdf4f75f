"""Positions, errors, revocations."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.errors import RecordError
from services.state.domain.snapshot import lease_runs, snapshot, still_waiting
from services.state.handlers import State
from services.state.rpc.answers import Answers
from services.state.rpc.callers import READERS, WRITERS, cause_for
from services.state.wire import AGENT, ERRORS, REVOCATION


class AgentsRpc(StateServiceServicer):
    """What concerns one agent."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._answers = Answers()

    async def RecordError(self, request: pb.RecordErrorRequest, context: Context) -> pb.RecordErrorResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        command = RecordError(
            request.agent_id,
            request.task_id,
            request.run_id,
            request.error_type,
            request.message,
            request.procedure_violation,
            cause.at,
            request.fencing_token,
            cause.actor,
        )
        standing = await self._state.agents.record_error(command, cause)
        return pb.RecordErrorResponse(errors=ERRORS.to_message(standing.errors), sequence=standing.sequence)

    async def GetAgentState(
        self, request: pb.GetAgentStateRequest, context: Context
    ) -> pb.GetAgentStateResponse:
        cause = cause_for(context, READERS)
        agent, heartbeat = await self._state.agents.look_at(
            request.agent_id, request.at_least_sequence, cause
        )

        def answer() -> pb.GetAgentStateResponse:
            return pb.GetAgentStateResponse(agent=AGENT.to_message(snapshot(agent, heartbeat, cause.at)))

        place = ("agent", cause.tenant, request.agent_id)
        beside = heartbeat, lease_runs(agent, cause.at), still_waiting(agent, cause.at)
        told: pb.GetAgentStateResponse = self._answers.told(place, agent, answer, beside)
        return told

    async def ListRevocations(
        self, request: pb.ListRevocationsRequest, context: Context
    ) -> pb.ListRevocationsResponse:
        cause = cause_for(context, READERS)
        page = self._state.agents.list_revocations(request.page_size, request.page_token, cause)
        revocations = [REVOCATION.to_message(each) for each in page.items]
        return pb.ListRevocationsResponse(revocations=revocations, next_page_token=page.next_page_token)
