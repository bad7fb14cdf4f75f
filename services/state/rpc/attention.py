"""Signs of life, what agents report of their work, and which of them are stuck."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.bounds import DEFAULT_BEAT_SECONDS
from services.state.handlers import Activity, State
from services.state.rpc.callers import READERS, WRITERS, cause_for
from services.state.wire import AGENT, STUCK, waiting_from_wire


class AttentionRpc(StateServiceServicer):
    """Reports and judgements."""

    _state: State

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        cause = cause_for(context, WRITERS)
        seconds = request.ttl_seconds or DEFAULT_BEAT_SECONDS
        lifetime = await self._state.attention.heartbeat(request.agent_id, seconds, cause)
        response = pb.HeartbeatResponse()
        response.expire_time.FromDatetime(cause.at + lifetime)
        return response

    async def ReportActivity(
        self, request: pb.ReportActivityRequest, context: Context
    ) -> pb.ReportActivityResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        waiting = waiting_from_wire(request.waiting, cause.at) if request.HasField("waiting") else None
        activity = Activity(
            request.agent_id,
            request.task_id,
            request.run_id,
            request.action,
            request.result,
            waiting,
            request.fencing_token,
        )
        stuck = await self._state.attention.report(activity, cause)
        return pb.ReportActivityResponse(stuck=STUCK.to_message(stuck) if stuck else None)

    async def ListStuckAgents(
        self, request: pb.ListStuckAgentsRequest, context: Context
    ) -> pb.ListStuckAgentsResponse:
        cause = cause_for(context, READERS)
        page = await self._state.attention.list_stuck(
            request.task_id, request.page_size, request.page_token, cause
        )
        agents = [AGENT.to_message(each) for each in page.items]
        return pb.ListStuckAgentsResponse(agents=agents, next_page_token=page.next_page_token)
