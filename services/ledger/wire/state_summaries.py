"""What an event of state says, in one line."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from provost.state.v1 import events_pb2 as state
from services.ledger.wire.words import cut, listed, lock, word


def _packet_issued(event: state.PacketIssued, _: str) -> str:
    return f"agent {event.packet.agent_id} was handed its instructions for {event.packet.task_id}"


def _lock_acquired(event: state.LockAcquired, _: str) -> str:
    return f"the run took the lock of agent {event.agent_id}"


def _advanced(event: state.AgentAdvanced, _: str) -> str:
    return f"agent {event.agent_id} came to {event.phase}, lock renewed{lock(event.fencing_token)}"


def _lock_released(event: state.LockReleased, _: str) -> str:
    return f"the run let go of agent {event.agent_id}"


def _stale_token(event: state.StaleTokenRefused, _: str) -> str:
    return (
        f"{event.by} wrote under lock {event.presented_token} of agent {event.agent_id}, "
        f"which is {event.current_token} by now: refused"
    )


def _error_recorded(event: state.ErrorRecorded, _: str) -> str:
    what = "a breach of procedure" if event.procedure_violation else "an error"
    return f"{what} of agent {event.agent_id} was counted: {event.error_type}: {cut(event.message)}"


def _artifact_stored(event: state.ArtifactStored, _: str) -> str:
    made = event.artifact
    return f"{cut(made.name)} is stored under {made.sha256[:16]}… ({made.size_bytes} bytes)"


def _handoff_written(event: state.HandoffWritten, _: str) -> str:
    handoff = event.handoff
    return f"what agent {handoff.previous_agent_id} leaves to the next: {cut(handoff.blocking_issue)}"


def _lock_forced(event: state.LockForced, _: str) -> str:
    return f"{event.by} took the lock of agent {event.agent_id} from {event.holder}: {cut(event.reason)}"


def _agent_waits(event: state.AgentWaits, _: str) -> str:
    if not event.HasField("waiting"):
        return f"agent {event.agent_id} waits no more"
    return f"agent {event.agent_id} waits for {word(event.waiting, 'kind')}: {cut(event.waiting.what)}"


def _agent_stuck(event: state.AgentStuck, _: str) -> str:
    return f"agent {event.agent_id} is stuck ({word(event.stuck, 'kind')}): {cut(event.stuck.evidence)}"


def _agent_unstuck(event: state.AgentUnstuck, _: str) -> str:
    return f"agent {event.agent_id} makes progress again"


def _run_labelled(event: state.RunLabelled, _: str) -> str:
    return f"the run bears {listed(event.labels)}, by reading {cut(event.by_reading)}"


def _entry_put(event: state.EntryPut, _: str) -> str:
    put = event.entry
    if not put.value:
        return f"{put.author} took {put.section}/{put.key} off the board"
    return f"{put.author} wrote {put.section}/{put.key}, version {put.version}: {cut(put.value)}"


def _message_sent(event: state.MessageSent, _: str) -> str:
    sent = event.message
    return f"{sent.from_agent_id} sent {sent.to_agent_id or 'all'} a {cut(sent.type)}: {cut(sent.body)}"


def _acknowledged(event: state.MessagesAcknowledged, _: str) -> str:
    which = f"up to {event.up_to_sequence}" if event.up_to_sequence else listed(event.message_ids)
    return f"what was sent to agent {event.agent_id} is acknowledged, {which}"


def _checkpoint_saved(event: state.CheckpointSaved, _: str) -> str:
    saved = event.checkpoint
    return f"agent {saved.agent_id} saved checkpoint {saved.number} in {saved.phase}: {cut(saved.note)}"


def _snapshot_taken(event: state.SnapshotTaken, _: str) -> str:
    return f"state up to {event.upto_sequence} is stored under {event.artifact_sha256[:16]}…"


STATE: dict[type[Message], Callable[[Any, str], str]] = {
    state.PacketIssued: _packet_issued,
    state.LockAcquired: _lock_acquired,
    state.AgentAdvanced: _advanced,
    state.LockReleased: _lock_released,
    state.StaleTokenRefused: _stale_token,
    state.ErrorRecorded: _error_recorded,
    state.ArtifactStored: _artifact_stored,
    state.HandoffWritten: _handoff_written,
    state.LockForced: _lock_forced,
    state.AgentWaits: _agent_waits,
    state.AgentStuck: _agent_stuck,
    state.AgentUnstuck: _agent_unstuck,
    state.RunLabelled: _run_labelled,
    state.EntryPut: _entry_put,
    state.MessageSent: _message_sent,
    state.MessagesAcknowledged: _acknowledged,
    state.CheckpointSaved: _checkpoint_saved,
    state.SnapshotTaken: _snapshot_taken,
}
