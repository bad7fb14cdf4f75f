"""Checkpoints of runs."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.checkpoints import SaveCheckpoint
from services.state.domain.labels import ANY_LABEL
from services.state.handlers import State
from services.state.rpc.callers import READERS, WRITERS, cause_for, reader_of
from services.state.wire import CHECKPOINT


class CheckpointsRpc(StateServiceServicer):
    """Where a run stood."""

    _state: State

    async def SaveCheckpoint(
        self, request: pb.SaveCheckpointRequest, context: Context
    ) -> pb.SaveCheckpointResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        told = request.checkpoint
        command = SaveCheckpoint(
            told.run_id,
            told.task_id,
            told.agent_id,
            told.phase,
            told.step,
            told.artifact_sha256,
            told.note,
            tuple(told.labels),
            ANY_LABEL,
            cause.at,
        )
        checkpoint, sequence = await self._state.checkpoints.save(command, request.fencing_token, cause)
        return pb.SaveCheckpointResponse(checkpoint=CHECKPOINT.to_message(checkpoint), sequence=sequence)

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: Context
    ) -> pb.GetCheckpointResponse:
        reader = reader_of(request.agent_id, request.reading_run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        found = await self._state.checkpoints.get(request.run_id, request.number, reader, cause)
        return pb.GetCheckpointResponse(checkpoint=CHECKPOINT.to_message(found))

    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, context: Context
    ) -> pb.ListCheckpointsResponse:
        reader = reader_of(request.agent_id, request.reading_run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        page = await self._state.checkpoints.list(
            request.run_id, request.page_size, request.page_token, reader, cause
        )
        checkpoints = [CHECKPOINT.to_message(each) for each in page.items]
        return pb.ListCheckpointsResponse(checkpoints=checkpoints, next_page_token=page.next_page_token)
