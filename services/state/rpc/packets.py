"""Packets."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.packet import IssuePacket
from services.state.handlers import State
from services.state.rpc.answers import Answers
from services.state.rpc.callers import READERS, WRITERS, cause_for, reader_of
from services.state.wire import PACKET, packet_from_wire


class PacketsRpc(StateServiceServicer):
    """What an agent was told to do."""

    _state: State
    _answers: Answers

    async def IssuePacket(self, request: pb.IssuePacketRequest, context: Context) -> pb.IssuePacketResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        command = IssuePacket(packet_from_wire(request.packet, cause.at), cause.at)
        version, sequence = await self._state.packets.issue(command, cause)
        return pb.IssuePacketResponse(sequence=sequence, version=version)

    async def GetPacket(self, request: pb.GetPacketRequest, context: Context) -> pb.GetPacketResponse:
        reader = reader_of(request.reading_agent_id, request.reading_run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        packet = await self._state.packets.get(request.agent_id, request.version, reader, cause)
        place = ("packet", cause.tenant, request.agent_id, request.version)
        told: pb.GetPacketResponse = self._answers.told(
            place, packet, lambda: pb.GetPacketResponse(packet=PACKET.to_message(packet))
        )
        return told

    async def ListPackets(self, request: pb.ListPacketsRequest, context: Context) -> pb.ListPacketsResponse:
        reader = reader_of(request.reading_agent_id, request.reading_run_id)
        cause = cause_for(context, WRITERS if reader else READERS)
        page = await self._state.packets.list(
            request.agent_id, request.page_size, request.page_token, reader, cause
        )
        packets = [PACKET.to_message(each) for each in page.items]
        return pb.ListPacketsResponse(packets=packets, next_page_token=page.next_page_token)
