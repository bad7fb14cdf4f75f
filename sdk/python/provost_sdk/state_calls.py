"""What the client asks of state: agents, locks, packets, tasks, boards, messages, checkpoints, and whether it is whole.

Boards and messages are written by agents, through the service that runs them, and by people, in their own names: what
a person writes bears the label of their key, and `agent` is left out.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from provost.state.v1 import state_pb2
from provost_sdk.transport import REPAIR_SECONDS, Connection, new_request_id

if TYPE_CHECKING:
    from provost.state.v1.state_pb2_grpc import StateServiceAsyncStub


class StateCalls(Connection):
    """The part of the client that asks what is true now. Everything is of the key's own tenant."""

    _state: "StateServiceAsyncStub"

    async def get_agent_state(self, agent_id: str) -> state_pb2.AgentSnapshot:
        """An agent as it is now. Reason AGENT_STATE_UNKNOWN: it never was handed anything to do."""
        request = state_pb2.GetAgentStateRequest(agent_id=agent_id)
        return (await self._call(self._state.GetAgentState, request)).agent

    async def get_packet(self, agent_id: str, *, version: int = 0) -> state_pb2.Packet:
        """An agent's packet as it was issued, the current one or an earlier version. Reason PACKET_UNKNOWN."""
        request = state_pb2.GetPacketRequest(agent_id=agent_id, version=version)
        return (await self._call(self._state.GetPacket, request)).packet

    async def list_packets(
        self, agent_id: str, *, page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListPacketsResponse:
        """An agent's packets, newest first."""
        request = state_pb2.ListPacketsRequest(agent_id=agent_id, page_size=page_size, page_token=page_token)
        return await self._call(self._state.ListPackets, request)

    async def list_locks(
        self, *, task: str = "", page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListLocksResponse:
        """The locks that are held, and who waits for each."""
        request = state_pb2.ListLocksRequest(task_id=task, page_size=page_size, page_token=page_token)
        return await self._call(self._state.ListLocks, request)

    async def force_release_lock(
        self, agent_id: str, *, reason: str, request_id: str = ""
    ) -> state_pb2.ForceReleaseLockResponse:
        """Take an agent's lock away from whoever holds it. Reason LOCK_NOT_HELD: nobody does."""
        request = state_pb2.ForceReleaseLockRequest(
            request_id=request_id or new_request_id(), agent_id=agent_id, reason=reason
        )
        return await self._call(self._state.ForceReleaseLock, request)

    async def list_stuck_agents(
        self, *, task: str = "", page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListStuckAgentsResponse:
        """The agents that make no progress, and how that shows."""
        request = state_pb2.ListStuckAgentsRequest(task_id=task, page_size=page_size, page_token=page_token)
        return await self._call(self._state.ListStuckAgents, request)

    async def get_task(self, task_id: str) -> state_pb2.GetTaskResponse:
        """A task as it is. Reason TASK_UNKNOWN: nothing ever happened in it."""
        return await self._call(self._state.GetTask, state_pb2.GetTaskRequest(task_id=task_id))

    async def list_tasks(self, *, page_size: int = 0, page_token: str = "") -> state_pb2.ListTasksResponse:
        """Tasks, last changed first."""
        request = state_pb2.ListTasksRequest(page_size=page_size, page_token=page_token)
        return await self._call(self._state.ListTasks, request)

    async def get_entry(self, task_id: str, section: str, key: str) -> state_pb2.Entry:
        """One entry of a task's board. Reason ENTRY_UNKNOWN."""
        request = state_pb2.GetEntryRequest(task_id=task_id, section=section, key=key)
        return (await self._call(self._state.GetEntry, request)).entry

    async def list_entries(
        self, task_id: str, *, section: str = "", page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListEntriesResponse:
        """A task's board, by section and key."""
        request = state_pb2.ListEntriesRequest(
            task_id=task_id, section=section, page_size=page_size, page_token=page_token
        )
        return await self._call(self._state.ListEntries, request)

    async def put_entry(
        self,
        task_id: str,
        section: str,
        key: str,
        value: Any,
        *,
        agent: str = "",
        expected_version: int | None = None,
        labels: Sequence[str] = (),
        request_id: str = "",
    ) -> state_pb2.Entry:
        """Write one entry, any JSON value; with `expected_version`, only over that version, and over none with 0.

        Reason ENTRY_CHANGED: it has another version by now.
        """
        request = state_pb2.PutEntryRequest(
            request_id=request_id or new_request_id(),
            task_id=task_id,
            section=section,
            key=key,
            value=json.dumps(value),
            agent_id=agent,
            expected_version=expected_version,
            labels=labels,
        )
        return (await self._call(self._state.PutEntry, request)).entry

    async def remove_entry(
        self, task_id: str, section: str, key: str, *, agent: str = "", expected_version: int | None = None
    ) -> state_pb2.Entry:
        """Take an entry off the board; its versions go on. Reasons ENTRY_UNKNOWN, ENTRY_CHANGED."""
        request = state_pb2.PutEntryRequest(
            request_id=new_request_id(),
            task_id=task_id,
            section=section,
            key=key,
            agent_id=agent,
            expected_version=expected_version,
        )
        return (await self._call(self._state.PutEntry, request)).entry

    async def list_messages(
        self,
        task_id: str,
        *,
        agent: str = "",
        acknowledged_too: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> state_pb2.ListMessagesResponse:
        """Messages of a task, oldest first; of those to one agent with `agent`. Unread ones unless told otherwise."""
        request = state_pb2.ListMessagesRequest(
            task_id=task_id,
            agent_id=agent,
            acknowledged_too=acknowledged_too,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._call(self._state.ListMessages, request)

    async def send_message(
        self,
        task_id: str,
        message_type: str,
        body: Any,
        *,
        to: str = "",
        agent: str = "",
        in_reply_to: str = "",
        labels: Sequence[str] = (),
        request_id: str = "",
    ) -> state_pb2.Message:
        """Send any JSON value to one agent of a task or, without `to`, to all. Reason RECIPIENT_UNKNOWN."""
        request = state_pb2.SendMessageRequest(
            request_id=request_id or new_request_id(),
            task_id=task_id,
            from_agent_id=agent,
            to_agent_id=to,
            type=message_type,
            body=json.dumps(body),
            in_reply_to=in_reply_to,
            labels=labels,
        )
        return (await self._call(self._state.SendMessage, request)).message

    async def acknowledge_messages(
        self,
        task_id: str,
        agent_id: str,
        *,
        up_to_sequence: int = 0,
        message_ids: Sequence[str] = (),
        request_id: str = "",
    ) -> state_pb2.AcknowledgeMessagesResponse:
        """Take for read, in an agent's name, what it was sent up to a place of the log, or these messages.

        Reasons TASK_UNKNOWN, RECIPIENT_UNKNOWN: there is no such task, or no such agent in it.
        """
        request = state_pb2.AcknowledgeMessagesRequest(
            request_id=request_id or new_request_id(),
            task_id=task_id,
            agent_id=agent_id,
            up_to_sequence=up_to_sequence,
            message_ids=message_ids,
        )
        return await self._call(self._state.AcknowledgeMessages, request)

    async def get_checkpoint(self, run_id: str, *, number: int = 0) -> state_pb2.Checkpoint:
        """A run's checkpoint, the newest or one by number. Reason CHECKPOINT_UNKNOWN."""
        request = state_pb2.GetCheckpointRequest(run_id=run_id, number=number)
        return (await self._call(self._state.GetCheckpoint, request)).checkpoint

    async def list_checkpoints(
        self, run_id: str, *, page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListCheckpointsResponse:
        """A run's checkpoints, newest first."""
        request = state_pb2.ListCheckpointsRequest(run_id=run_id, page_size=page_size, page_token=page_token)
        return await self._call(self._state.ListCheckpoints, request)

    async def get_artifact(self, sha256: str) -> state_pb2.GetArtifactResponse:
        """Content by its hash: a run's redacted log, or its report."""
        return await self._call(self._state.GetArtifact, state_pb2.GetArtifactRequest(sha256=sha256))

    async def verify_store(self) -> state_pb2.VerifyStoreResponse:
        """Compare the store with the event log."""
        return await self._call(self._state.VerifyStore, state_pb2.VerifyStoreRequest(), REPAIR_SECONDS)

    async def rebuild_store(self) -> state_pb2.RebuildStoreResponse:
        """Wipe the store and fill it from the event log again. Needs an admin's key."""
        return await self._call(self._state.RebuildStore, state_pb2.RebuildStoreRequest(), REPAIR_SECONDS)
