"""Messages between agents."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.faults import FieldInvalid
from services.state.domain.inbox import AcknowledgeMessages, SendMessage
from services.state.domain.labels import ANY_LABEL
from services.state.handlers import Reader, State
from services.state.rpc.callers import READERS, WRITERS, author_of, cause_for, reader_of, written_by
from services.state.wire import MESSAGE


class InboxesRpc(StateServiceServicer):
    """What the agents of a task tell each other."""

    _state: State

    async def SendMessage(self, request: pb.SendMessageRequest, context: Context) -> pb.SendMessageResponse:
        cause, sender, person = author_of(context, request.from_agent_id, "from_agent_id", request.request_id)
        command = SendMessage(
            "",
            request.task_id,
            sender,
            request.to_agent_id,
            request.type,
            request.body,
            request.in_reply_to,
            tuple(request.labels),
            ANY_LABEL,
            frozenset(),
            cause.at,
            request.run_id,
        )
        message, sequence = await self._state.inboxes.send(command, request.fencing_token, person, cause)
        return pb.SendMessageResponse(message=MESSAGE.to_message(message), sequence=sequence)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        # A run that reads takes on the labels; without one it is somebody who looks on.
        reader = reader_of(request.reading_agent_id, request.reading_run_id)
        if request.run_id:
            own = Reader(request.agent_id, request.run_id)
            if reader not in (None, own):
                raise FieldInvalid("run_id", "must be empty when reading_agent_id says who reads")
            reader = own
        cause = cause_for(context, WRITERS if reader else READERS)
        page = await self._state.inboxes.list(
            request.task_id,
            request.agent_id,
            request.acknowledged_too,
            request.page_size,
            request.page_token,
            request.at_least_sequence,
            reader,
            cause,
        )
        messages = [MESSAGE.to_message(each) for each in page.items]
        return pb.ListMessagesResponse(messages=messages, next_page_token=page.next_page_token)

    async def AcknowledgeMessages(
        self, request: pb.AcknowledgeMessagesRequest, context: Context
    ) -> pb.AcknowledgeMessagesResponse:
        cause, person = written_by(context, request.request_id)
        command = AcknowledgeMessages(
            request.task_id, request.agent_id, request.up_to_sequence, tuple(request.message_ids), cause.at
        )
        appended = await self._state.inboxes.acknowledge(command, request.fencing_token, person, cause)
        return pb.AcknowledgeMessagesResponse(sequence=appended.sequence)
