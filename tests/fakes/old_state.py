"""A small real state that is cut off from the log, as far as anybody can tell: it says how old its answers may be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from chassis.config import ServiceSettings
from chassis.rpc.server import Server
from kernel.faults import NotFound
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer, add_StateServiceServicer_to_server
from services.state.rpc.stale import STALE
from tests.fakes.peers import made
from tests.fakes.process import free_port

Context = grpc.aio.ServicerContext[Any, Any]


class OldState(StateServiceServicer):
    """`seconds` go with every answer, also with a refusal; None is said by a state that is well."""

    seconds: int | None = None
    port = 0

    def _say(self, context: Context) -> None:
        if self.seconds is not None:
            context.set_trailing_metadata(((STALE, str(self.seconds)),))

    async def GetAgentState(self, request: pb.GetAgentStateRequest, context: Context) -> Any:
        self._say(context)
        if request.agent_id == "nobody":
            raise NotFound("AGENT_STATE_UNKNOWN", "nothing is known of it")
        return pb.GetAgentStateResponse(agent=pb.AgentSnapshot(agent_id=request.agent_id))

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> Any:
        self._say(context)
        return pb.GetTaskResponse(task=pb.TaskSummary(task_id=request.task_id))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> Any:
        self._say(context)
        return pb.ListTasksResponse(tasks=[pb.TaskSummary(task_id="task-1")])

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Context) -> Any:
        self._say(context)
        return pb.ListEntriesResponse(entries=[pb.Entry(key="cause", value="1")])

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> Any:
        self._say(context)
        return pb.ListMessagesResponse(messages=[pb.Message(message_id="m-1", body="1")])

    async def ListLocks(self, request: pb.ListLocksRequest, context: Context) -> Any:
        self._say(context)
        return pb.ListLocksResponse(locks=[pb.HeldLock(agent_id="sre-1")])

    async def ListStuckAgents(self, request: pb.ListStuckAgentsRequest, context: Context) -> Any:
        self._say(context)
        return pb.ListStuckAgentsResponse(agents=[pb.AgentSnapshot(agent_id="sre-1")])


@asynccontextmanager
async def old_state(settings: ServiceSettings) -> AsyncIterator[OldState]:
    """It, listening on a port of its own."""
    state = made(OldState)
    state.port = free_port()
    server = Server(settings, "state", port=state.port)
    server.add(add_StateServiceServicer_to_server, state)
    await server.start()
    await server.set_serving(True)
    try:
        yield state
    finally:
        await server.stop()
