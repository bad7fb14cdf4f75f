"""Artifacts and handoffs."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.task import WriteHandoff
from services.state.handlers import Content, State
from services.state.rpc.callers import READERS, WRITERS, cause_for, reader_of
from services.state.wire import ARTIFACT, WRITTEN, handoff_from_wire


class TasksRpc(StateServiceServicer):
    """What concerns one task."""

    _state: State

    async def PutArtifact(self, request: pb.PutArtifactRequest, context: Context) -> pb.PutArtifactResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        wanted = Content(
            request.task_id,
            request.run_id,
            request.name,
            request.media_type,
            request.content,
            request.sha256,
            tuple(request.labels),
            request.agent_id,
            request.fencing_token,
        )
        artifact, sequence = await self._state.tasks.put_artifact(wanted, cause)
        return pb.PutArtifactResponse(artifact=ARTIFACT.to_message(artifact), sequence=sequence)

    async def GetArtifact(self, request: pb.GetArtifactRequest, context: Context) -> pb.GetArtifactResponse:
        reader = reader_of(request.agent_id, request.run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        artifact, content = await self._state.tasks.get_artifact(request.sha256, reader, cause)
        return pb.GetArtifactResponse(artifact=ARTIFACT.to_message(artifact), content=content)

    async def ListArtifacts(
        self, request: pb.ListArtifactsRequest, context: Context
    ) -> pb.ListArtifactsResponse:
        cause = cause_for(context, READERS)
        page = await self._state.tasks.list_artifacts(
            request.task_id, request.page_size, request.page_token, cause
        )
        artifacts = [ARTIFACT.to_message(each) for each in page.items]
        return pb.ListArtifactsResponse(artifacts=artifacts, next_page_token=page.next_page_token)

    async def WriteHandoff(
        self, request: pb.WriteHandoffRequest, context: Context
    ) -> pb.WriteHandoffResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        command = WriteHandoff(handoff_from_wire(request.handoff), cause.at)
        appended = await self._state.tasks.write_handoff(command, cause)
        return pb.WriteHandoffResponse(sequence=appended.sequence)

    async def GetHandoff(self, request: pb.GetHandoffRequest, context: Context) -> pb.GetHandoffResponse:
        reader = reader_of(request.agent_id, request.run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        return WRITTEN.to_message(
            await self._state.tasks.get_handoff(request.task_id, request.at_least_sequence, reader, cause)
        )
