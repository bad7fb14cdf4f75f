"""Blackboards."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.board import PutEntry
from services.state.domain.labels import ANY_LABEL
from services.state.handlers import State
from services.state.rpc.answers import Answers
from services.state.rpc.callers import READERS, WRITERS, author_of, cause_for, reader_of
from services.state.wire import ENTRY


class BoardsRpc(StateServiceServicer):
    """What the agents of a task know together."""

    _state: State
    _answers: Answers

    async def PutEntry(self, request: pb.PutEntryRequest, context: Context) -> pb.PutEntryResponse:
        cause, author, person = author_of(context, request.agent_id, "agent_id", request.request_id)
        command = PutEntry(
            request.task_id,
            request.section,
            request.key,
            request.value,
            author,
            request.expected_version if request.HasField("expected_version") else None,
            tuple(request.labels),
            ANY_LABEL,
            frozenset(),
            cause.at,
            request.run_id,
        )
        entry, sequence = await self._state.boards.put(command, request.fencing_token, person, cause)
        return pb.PutEntryResponse(entry=ENTRY.to_message(entry), sequence=sequence)

    async def GetEntry(self, request: pb.GetEntryRequest, context: Context) -> pb.GetEntryResponse:
        reader = reader_of(request.agent_id, request.run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        entry = await self._state.boards.get(
            request.task_id, request.section, request.key, request.at_least_sequence, reader, cause
        )
        place = ("entry", cause.tenant, request.task_id, request.section, request.key)
        told: pb.GetEntryResponse = self._answers.told(
            place, entry, lambda: pb.GetEntryResponse(entry=ENTRY.to_message(entry))
        )
        return told

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Context) -> pb.ListEntriesResponse:
        reader = reader_of(request.agent_id, request.run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        page = await self._state.boards.list(
            request.task_id,
            request.section,
            request.page_size,
            request.page_token,
            request.at_least_sequence,
            reader,
            cause,
        )
        entries = [ENTRY.to_message(each) for each in page.items]
        return pb.ListEntriesResponse(entries=entries, next_page_token=page.next_page_token)
