"""Packets: issued, and read as they were issued."""

from dataclasses import fields, replace

from kernel.events import Cause, Stream
from kernel.ports import Following
from services.state.domain.bounds import require_agent_id
from services.state.domain.faults import LabelUnknown, PacketUnknown
from services.state.domain.packet import IssuePacket, Packet, PacketIssued
from services.state.domain.page import Page, number_of, page_size_of
from services.state.domain.view import View
from services.state.handlers.kept import Kept, require_same, written_before
from services.state.handlers.working import Reader, Working, labels_of

_SAID = tuple(each.name for each in fields(Packet) if each.name not in ("created_at", "version"))
"""All of a packet but when, which may be told by the clock of whoever takes the request, and what state adds."""


class Packets:
    """What each agent was told to do."""

    def __init__(self, kept: Kept, view: View, following: Following, working: Working) -> None:
        self._working = working
        self._view = view
        self._agents = kept.agents
        self._recall = kept.recall
        self._following = following

    async def issue(self, command: IssuePacket, cause: Cause) -> tuple[int, int]:
        """The version of the packet, and the sequence.

        Raises PacketInvalid, LabelUnknown, LockTaken, Invalid; RequestIdReused when the request has issued another.
        """
        agent_id = command.packet.agent_id
        try:
            appended = await self._agents.handle(agent_id, self._labelled(command, cause), cause)
        except LabelUnknown:
            # The run may have been given its packet at another replica.
            await self._working.catch_up()
            appended = await self._agents.handle(agent_id, self._labelled(command, cause), cause)
        await self._working.stick_packet(agent_id, cause)
        packet = self._agents.current(cause.tenant, agent_id).packet
        if appended.duplicate:
            if packet is None or replace(command.packet, version=packet.version) != packet:
                # Asked again, and another packet has superseded it: the answer is what it was.
                stream = Stream(cause.tenant, "state", "agent", agent_id)
                packet = (await written_before(self._recall, stream, appended.sequence, PacketIssued)).packet
            require_same(packet, command.packet, *_SAID)
        return packet.version if packet else 0, appended.sequence

    def _labelled(self, command: IssuePacket, cause: Cause) -> IssuePacket:
        """What the agent was given for the task bears its labels when it is given again, also one the set has lost."""
        known = self._view.packets.get((cause.tenant, command.packet.agent_id))
        given = [each for each in (known.event if known else ()) if each.task_id == command.packet.task_id]
        carried = frozenset(label for each in given for label in each.labels)
        return replace(command, labelling=replace(self._working.labelling(cause.tenant), carried=carried))

    async def get(self, agent_id: str, version: int, reader: Reader | None, cause: Cause) -> Packet:
        """The current one if `version` is 0. Raises PacketUnknown, AgentStateUnknown, Invalid, Unavailable."""
        self._working.require_reader(reader, cause)
        newest = packet = self._agents.current(cause.tenant, require_agent_id(agent_id)).packet
        if version and (packet is None or packet.version != version):
            await self._reached(agent_id, cause)
            known = self._view.packets.get((cause.tenant, agent_id))
            earlier = known.event if known else ()
            packet = next((each for each in earlier if each.version == version), None)
        if packet is None:
            raise PacketUnknown(agent_id, version, newest.version if newest else 0)
        labels = frozenset(packet.labels)
        await self._working.stick(reader, labels, f"packet:{agent_id}/{packet.version}", cause)
        return packet

    async def list(
        self, agent_id: str, page_size: int, page_token: str, reader: Reader | None, cause: Cause
    ) -> Page[Packet]:
        """Newest first, as many as are kept at hand. Raises AgentStateUnknown, Invalid, Unavailable."""
        self._working.require_reader(reader, cause)
        size, before = page_size_of(page_size), number_of(page_token)
        await self._reached(agent_id, cause)
        known = self._view.packets.get((cause.tenant, agent_id))
        newest_first = reversed(known.event if known else ())
        found = [each for each in newest_first if before is None or each.version < before]
        shown, more = found[:size], len(found) > size
        await self._working.stick(reader, labels_of(shown), f"packets:{agent_id}", cause)
        return Page(tuple(shown), str(shown[-1].version) if more else "")

    async def _reached(self, agent_id: str, cause: Cause) -> None:
        own = self._agents.current(cause.tenant, require_agent_id(agent_id)).sequence
        await self._following.reached(own)
