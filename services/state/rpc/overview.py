"""Tasks as they are."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.handlers import State
from services.state.rpc.callers import READERS, cause_for
from services.state.wire import AGENT, ARTIFACT, ENTRY, HANDOFF, IN_USE, MESSAGE, SUMMARY


class OverviewRpc(StateServiceServicer):
    """What is kept apart, put together."""

    _state: State

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        cause = cause_for(context, READERS)
        shown = await self._state.overview.get(request.task_id, request.at_least_sequence, cause)
        return pb.GetTaskResponse(
            task=SUMMARY.to_message(shown.task),
            agents=[AGENT.to_message(each) for each in shown.agents],
            locks=[IN_USE.to_message(each) for each in shown.locks],
            entries=[ENTRY.to_message(each) for each in shown.entries],
            unread_messages=[MESSAGE.to_message(each) for each in shown.unread_messages],
            artifacts=[ARTIFACT.to_message(each) for each in shown.artifacts],
            handoff=HANDOFF.to_message(shown.handoff) if shown.handoff else None,
            incomplete=shown.incomplete,
        )

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        cause = cause_for(context, READERS)
        page = await self._state.overview.list(request.page_size, request.page_token, cause)
        tasks = [SUMMARY.to_message(each) for each in page.items]
        return pb.ListTasksResponse(tasks=tasks, next_page_token=page.next_page_token)
