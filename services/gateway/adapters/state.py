"""The door to state."""

from dataclasses import replace

from provost.state.v1 import state_pb2
from provost.state.v1.state_pb2_grpc import StateServiceStub
from services.gateway.adapters.peers import Peer
from services.gateway.domain.callers import Caller
from services.gateway.domain.records import Page
from services.gateway.domain.sharing import (
    Acknowledge,
    AgentNow,
    BoardEntry,
    HeldLock,
    Message,
    MessageFilter,
    Read,
    Released,
    StateListing,
    Task,
    TaskNow,
)
from services.gateway.wire import sharing


class StatePeer:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = StateServiceStub(peer.channel)

    async def tasks(self, page: Page, caller: Caller) -> StateListing[Task]:
        request = state_pb2.ListTasksRequest(page_size=page.size, page_token=page.token)
        answer, stale = await self._peer.ask_how_old(self._stub.ListTasks, request, caller)
        return StateListing(tuple(map(sharing.task_from_wire, answer.tasks)), answer.next_page_token, stale)

    async def task(self, task_id: str, caller: Caller) -> TaskNow:
        request = state_pb2.GetTaskRequest(task_id=task_id)
        answer, stale = await self._peer.ask_how_old(self._stub.GetTask, request, caller)
        return replace(sharing.task_now_from_wire(answer), stale_seconds=stale)

    async def board(self, task_id: str, section: str, page: Page, caller: Caller) -> StateListing[BoardEntry]:
        request = state_pb2.ListEntriesRequest(
            task_id=task_id, section=section, page_size=page.size, page_token=page.token
        )
        answer, stale = await self._peer.ask_how_old(self._stub.ListEntries, request, caller)
        return StateListing(
            tuple(map(sharing.entry_from_wire, answer.entries)), answer.next_page_token, stale
        )

    async def messages(self, wanted: MessageFilter, page: Page, caller: Caller) -> StateListing[Message]:
        request = sharing.messages_to_wire(wanted, page)
        answer, stale = await self._peer.ask_how_old(self._stub.ListMessages, request, caller)
        return StateListing(
            tuple(map(sharing.message_from_wire, answer.messages)), answer.next_page_token, stale
        )

    async def locks(self, task_id: str, page: Page, caller: Caller) -> StateListing[HeldLock]:
        request = state_pb2.ListLocksRequest(task_id=task_id, page_size=page.size, page_token=page.token)
        answer, stale = await self._peer.ask_how_old(self._stub.ListLocks, request, caller)
        return StateListing(tuple(map(sharing.lock_from_wire, answer.locks)), answer.next_page_token, stale)

    async def stuck(self, task_id: str, page: Page, caller: Caller) -> StateListing[AgentNow]:
        request = state_pb2.ListStuckAgentsRequest(
            task_id=task_id, page_size=page.size, page_token=page.token
        )
        answer, stale = await self._peer.ask_how_old(self._stub.ListStuckAgents, request, caller)
        return StateListing(tuple(map(sharing.agent_from_wire, answer.agents)), answer.next_page_token, stale)

    async def release_lock(self, request_id: str, agent_id: str, reason: str, caller: Caller) -> Released:
        request = state_pb2.ForceReleaseLockRequest(request_id=request_id, agent_id=agent_id, reason=reason)
        answer = await self._peer.ask(self._stub.ForceReleaseLock, request, caller)
        return Released(agent_id, answer.sequence)

    async def acknowledge(self, request_id: str, wanted: Acknowledge, caller: Caller) -> Read:
        request = state_pb2.AcknowledgeMessagesRequest(
            request_id=request_id,
            task_id=wanted.task_id,
            agent_id=wanted.agent_id,
            up_to_sequence=wanted.up_to_sequence,
            message_ids=wanted.message_ids,
        )
        answer = await self._peer.ask(self._stub.AcknowledgeMessages, request, caller)
        return Read(wanted.task_id, wanted.agent_id, answer.sequence)
