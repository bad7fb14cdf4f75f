"""What an event says, in one line for people who were not there: a replay and a chain of causes are read in these."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from provost.gateway.v1 import events_pb2 as gateway
from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.policy.v1 import events_pb2 as policy
from provost.state.v1 import events_pb2 as state
from services.ledger.domain.entry import Entry
from services.ledger.wire.payloads import shown

_MAX_TEXT = 200
_SEALED = "sealed:v1:"  # personal text as it is published; opened, if it still can be, when it is answered
_MAX_ITEMS = 6


def summary_of(entry: Entry, run_id: str = "") -> str:
    """One line; of an event that tells of several runs, what it tells of `run_id`.

    The event's type when it cannot be read.
    """
    message = shown(entry.headers.get("ce-type", ""), entry.payload)
    tell = None if message is None else _TELLERS.get(type(message))
    if tell is None:
        return entry.event_type or "a message that cannot be read"
    return tell(message, run_id)


def _run_started(event: orchestrator.RunStarted, _: str) -> str:
    agent = f"agent {event.agent_id}" if event.agent_id else "an agent yet to be found"
    mode = _word(event, "mode").lower()
    return f"{event.requested_by} started a run for {agent}, mode {mode}: {_cut(event.objective)}"


def _run_assigned(event: orchestrator.RunAssigned, _: str) -> str:
    return f"agent {event.agent_id} was given the run"


def _phase_entered(event: orchestrator.RunPhaseEntered, _: str) -> str:
    return f"the run entered {_word(event, 'phase')}{_lock(event.fencing_token)}{_entered(event)}"


def _plan_recorded(event: orchestrator.PlanRecorded, _: str) -> str:
    incident = event.incident
    believed = ""
    if incident.cause:
        believed = (
            f"believes {incident.cause} ({incident.severity}, confidence {incident.confidence:.2f}): "
            f"{_cut(incident.summary)}; "
        )
    plan = _listed(_action(each.action) for each in event.plan) or "nothing"
    return f"agent {event.agent_id} {believed}proposes {plan}"


def _actions_decided(event: orchestrator.ActionsDecided, _: str) -> str:
    decisions = (
        f"{each.action_id} {_word(each, 'verdict')} by {each.rule} ({each.reason}, policy {each.policy_version})"
        for each in event.decisions
    )
    return f"the run took note: {_listed(decisions)}{_entered(event)}"


def _approvals_awaited(event: orchestrator.ApprovalsAwaited, _: str) -> str:
    asked = (f"{action} ({approval})" for action, approval in sorted(event.approval_ids.items()))
    return f"the run waits for people: {_listed(asked)}"


def _effect_intended(event: orchestrator.EffectIntended, _: str) -> str:
    return (
        f"about to carry out {event.action_id} as effect {event.effect_id}, under decision {event.decision_id}: "
        "from here on it may have happened"
    )


def _effects_observed(event: orchestrator.EffectsObserved, _: str) -> str:
    return _listed(_effect(each) for each in event.effects) + _entered(event)


def _run_verified(event: orchestrator.RunVerified, _: str) -> str:
    checks = (
        f"{each.name} {'holds' if each.ok else f'FAILS ({_cut(each.detail)})'}" for each in event.checks
    )
    return f"verified: {_listed(checks) or 'nothing to check'}{_entered(event)}"


def _run_packaged(event: orchestrator.RunPackaged, _: str) -> str:
    return f"the report is stored under {event.report_sha256[:16]}…{_entered(event)}"


def _run_ended(event: orchestrator.RunEnded, _: str) -> str:
    kept = "kept to the rules" if event.compliant else "did not keep to the rules"
    return f"the run ended {_word(event, 'state')} ({event.reason}), {kept}: {_cut(event.outcome)}"


def _agent_registered(event: policy.AgentRegistered, _: str) -> str:
    return f"agent {event.agent_id} was registered at {_word(event, 'tier')}"


def _secret_created(event: policy.AgentSecretCreated, _: str) -> str:
    return f"agent {event.agent_id} was given a new secret"


def _session_created(event: policy.SessionCreated, _: str) -> str:
    return f"agent {event.agent_id} logged in at {_word(event, 'tier')}"


def _agent_revoked(event: policy.AgentRevoked, _: str) -> str:
    return f"{event.by} revoked agent {event.agent_id} ({event.kind}): {_cut(event.details)}"


def _policy_set(event: policy.PolicySetPublished, _: str) -> str:
    return f"{event.by} put policy set {event.version} in force"


def _decisions_made(event: policy.DecisionsMade, run_id: str) -> str:
    wanted = [each for each in event.decisions if run_id in ("", each.run_id)] or list(event.decisions)
    return _listed(
        f"{_word(each, 'verdict')} {_action(each.action)} for {each.agent_id} by {each.rule} "
        f"({each.reason}, policy {each.policy_version}){_by_approval(each)}"
        for each in wanted
    )


def _approval_requested(event: policy.ApprovalRequested, _: str) -> str:
    why = f": {_cut(event.why)}" if event.why else ""
    return (
        f"people were asked to approve {_action(event.action)} for {event.agent_id}, "
        f"on behalf of {event.requested_by}{why}"
    )


def _approval_answered(event: policy.ApprovalAnswered, _: str) -> str:
    said = f": {_cut(event.comment)}" if event.comment else ""
    return f"{event.by} {'approved' if event.approved else 'rejected'} {event.approval_id}{said}"


def _approval_used(event: policy.ApprovalUsed, _: str) -> str:
    return f"approval {event.approval_id} was spent on decision {event.decision_id}"


def _packet_issued(event: state.PacketIssued, _: str) -> str:
    return f"agent {event.packet.agent_id} was handed its instructions for {event.packet.task_id}"


def _lock_acquired(event: state.LockAcquired, _: str) -> str:
    return f"the run took the lock of agent {event.agent_id}"


def _advanced(event: state.AgentAdvanced, _: str) -> str:
    return f"agent {event.agent_id} came to {event.phase}, lock renewed{_lock(event.fencing_token)}"


def _lock_released(event: state.LockReleased, _: str) -> str:
    return f"the run let go of agent {event.agent_id}"


def _stale_token(event: state.StaleTokenRefused, _: str) -> str:
    return (
        f"{event.by} wrote under lock {event.presented_token} of agent {event.agent_id}, "
        f"which is {event.current_token} by now: refused"
    )


def _error_recorded(event: state.ErrorRecorded, _: str) -> str:
    what = "a breach of procedure" if event.procedure_violation else "an error"
    return f"{what} of agent {event.agent_id} was counted: {event.error_type}: {_cut(event.message)}"


def _artifact_stored(event: state.ArtifactStored, _: str) -> str:
    made = event.artifact
    return f"{_cut(made.name)} is stored under {made.sha256[:16]}… ({made.size_bytes} bytes)"


def _handoff_written(event: state.HandoffWritten, _: str) -> str:
    handoff = event.handoff
    return f"what agent {handoff.previous_agent_id} leaves to the next: {_cut(handoff.blocking_issue)}"


def _lock_forced(event: state.LockForced, _: str) -> str:
    return f"{event.by} took the lock of agent {event.agent_id} from {event.holder}: {_cut(event.reason)}"


def _agent_waits(event: state.AgentWaits, _: str) -> str:
    if not event.HasField("waiting"):
        return f"agent {event.agent_id} waits no more"
    return f"agent {event.agent_id} waits for {_word(event.waiting, 'kind')}: {_cut(event.waiting.what)}"


def _agent_stuck(event: state.AgentStuck, _: str) -> str:
    return f"agent {event.agent_id} is stuck ({_word(event.stuck, 'kind')}): {_cut(event.stuck.evidence)}"


def _agent_unstuck(event: state.AgentUnstuck, _: str) -> str:
    return f"agent {event.agent_id} makes progress again"


def _run_labelled(event: state.RunLabelled, _: str) -> str:
    return f"the run bears {_listed(event.labels)}, by reading {_cut(event.by_reading)}"


def _entry_put(event: state.EntryPut, _: str) -> str:
    put = event.entry
    return f"{put.author} wrote {put.section}/{put.key}, version {put.version}: {_cut(put.value)}"


def _message_sent(event: state.MessageSent, _: str) -> str:
    sent = event.message
    return f"{sent.from_agent_id} sent {sent.to_agent_id or 'all'} a {_cut(sent.type)}: {_cut(sent.body)}"


def _acknowledged(event: state.MessagesAcknowledged, _: str) -> str:
    which = f"up to {event.up_to_sequence}" if event.up_to_sequence else _listed(event.message_ids)
    return f"agent {event.agent_id} has had its messages {which}"


def _checkpoint_saved(event: state.CheckpointSaved, _: str) -> str:
    saved = event.checkpoint
    return f"agent {saved.agent_id} saved checkpoint {saved.number} in {saved.phase}: {_cut(saved.note)}"


def _snapshot_taken(event: state.SnapshotTaken, _: str) -> str:
    return f"state up to {event.upto_sequence} is stored under {event.artifact_sha256[:16]}…"


def _access_refused(event: gateway.AccessRefused, _: str) -> str:
    return "turned away at the door: " + _listed(
        f"{each.actor or 'nobody known'} at {each.method} ({each.reason}, {each.count}×)"
        for each in event.refusals
    )


_TELLERS: dict[type[Message], Callable[[Any, str], str]] = {
    orchestrator.RunStarted: _run_started,
    orchestrator.RunAssigned: _run_assigned,
    orchestrator.RunPhaseEntered: _phase_entered,
    orchestrator.PlanRecorded: _plan_recorded,
    orchestrator.ActionsDecided: _actions_decided,
    orchestrator.ApprovalsAwaited: _approvals_awaited,
    orchestrator.EffectIntended: _effect_intended,
    orchestrator.EffectsObserved: _effects_observed,
    orchestrator.RunVerified: _run_verified,
    orchestrator.RunPackaged: _run_packaged,
    orchestrator.RunEnded: _run_ended,
    policy.AgentRegistered: _agent_registered,
    policy.AgentSecretCreated: _secret_created,
    policy.SessionCreated: _session_created,
    policy.AgentRevoked: _agent_revoked,
    policy.PolicySetPublished: _policy_set,
    policy.DecisionsMade: _decisions_made,
    policy.ApprovalRequested: _approval_requested,
    policy.ApprovalAnswered: _approval_answered,
    policy.ApprovalUsed: _approval_used,
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
    gateway.AccessRefused: _access_refused,
}


def _effect(effect: Any) -> str:
    why = f" ({effect.error_type}: {_cut(effect.error_message)})" if effect.error_type else ""
    return f"{effect.action_id} {_word(effect, 'state')}{why}: {_cut(effect.summary)}"


def _by_approval(decision: Any) -> str:
    return f", approval {decision.approval_id}" if decision.approval_id else ""


def _action(action: Any) -> str:
    return f"{action.name} on {_cut(action.target)}" if action.target else str(action.name)


def _entered(event: Any) -> str:
    return f"; entered {_word(event.entered, 'phase')}" if event.HasField("entered") else ""


def _lock(token: int) -> str:
    return f" (lock {token})" if token else ""


def _word(message: Message, field: str) -> str:
    """The name of an enum's value without its prefix; the number when this program does not know it."""
    enum, number = message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field)
    assert enum is not None
    known = enum.values_by_number.get(number)
    if known is None or not number:
        return str(number or "unknown")
    return str(known.name).removeprefix(enum.values_by_number[0].name.removesuffix("UNSPECIFIED"))


def _listed(parts: Iterable[str]) -> str:
    every = list(parts)
    more = f"; and {len(every) - _MAX_ITEMS} more" if len(every) > _MAX_ITEMS else ""
    return "; ".join(every[:_MAX_ITEMS]) + more


def _cut(text: str) -> str:
    line = " ".join(text.split())
    if _SEALED in line:
        return line  # half a seal cannot be opened
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"
