"""What an event says, in one line for people who were not there: a replay and a chain of causes are read in these."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from provost.gateway.v1 import events_pb2 as gateway
from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.policy.v1 import events_pb2 as policy
from services.ledger.domain.entry import Entry
from services.ledger.wire.budget_summaries import BUDGETS
from services.ledger.wire.payloads import shown
from services.ledger.wire.revocation_summaries import REVOCATIONS
from services.ledger.wire.state_summaries import STATE
from services.ledger.wire.words import cut, listed, lock, word


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
    mode = word(event, "mode").lower()
    return f"{event.requested_by} started a run for {agent}, mode {mode}: {cut(event.objective)}"


def _run_assigned(event: orchestrator.RunAssigned, _: str) -> str:
    return f"agent {event.agent_id} was given the run"


def _phase_entered(event: orchestrator.RunPhaseEntered, _: str) -> str:
    return f"the run entered {word(event, 'phase')}{lock(event.fencing_token)}{_entered(event)}"


def _plan_recorded(event: orchestrator.PlanRecorded, _: str) -> str:
    incident = event.incident
    believed = ""
    if incident.cause:
        believed = (
            f"believes {incident.cause} ({incident.severity}, confidence {incident.confidence:.2f}): "
            f"{cut(incident.summary)}; "
        )
    plan = listed(_action(each.action) for each in event.plan) or "nothing"
    return f"agent {event.agent_id} {believed}proposes {plan}"


def _actions_decided(event: orchestrator.ActionsDecided, _: str) -> str:
    decisions = (
        f"{each.action_id} {word(each, 'verdict')} by {each.rule} ({each.reason}, policy {each.policy_version})"
        for each in event.decisions
    )
    return f"the run took note: {listed(decisions)}{_entered(event)}"


def _approvals_awaited(event: orchestrator.ApprovalsAwaited, _: str) -> str:
    asked = (f"{action} ({approval})" for action, approval in sorted(event.approval_ids.items()))
    return f"the run waits for people: {listed(asked)}"


def _effect_intended(event: orchestrator.EffectIntended, _: str) -> str:
    return (
        f"about to carry out {event.action_id} as effect {event.effect_id}, under decision {event.decision_id}: "
        "from here on it may have happened"
    )


def _effects_observed(event: orchestrator.EffectsObserved, _: str) -> str:
    return listed(_effect(each) for each in event.effects) + _entered(event)


def _run_verified(event: orchestrator.RunVerified, _: str) -> str:
    checks = (f"{each.name} {'holds' if each.ok else f'FAILS ({cut(each.detail)})'}" for each in event.checks)
    return f"verified: {listed(checks) or 'nothing to check'}{_entered(event)}"


def _run_packaged(event: orchestrator.RunPackaged, _: str) -> str:
    return f"the report is stored under {event.report_sha256[:16]}…{_entered(event)}"


def _run_ended(event: orchestrator.RunEnded, _: str) -> str:
    return f"the run ended {word(event, 'state')} ({event.reason}){_kept(event)}: {cut(event.outcome)}"


def _kept(event: orchestrator.RunEnded) -> str:
    """Not compliant is also what merely failed, was stopped or never began: how it ended says that by itself."""
    if event.compliant:
        return ", kept to the rules"
    if event.reason == "PROCEDURE_VIOLATION":
        return ", did not keep to the rules"
    return ", not without errors" if word(event, "state") == "COMPLETED" else ""


def _agent_registered(event: policy.AgentRegistered, _: str) -> str:
    under = f", under {event.parent_agent_id}" if event.parent_agent_id else ""
    return f"agent {event.agent_id} was registered at {word(event, 'tier')}{under}"


def _secret_created(event: policy.AgentSecretCreated, _: str) -> str:
    return f"agent {event.agent_id} was given a new secret"


def _secret_wrapped(event: policy.SecretWrapped, _: str) -> str:
    return f"agent {event.agent_id} was promised a new secret, for a token that is good once"


def _secret_unwrapped(event: policy.SecretUnwrapped, _: str) -> str:
    return f"agent {event.agent_id} was given the secret it was promised"


def _session_created(event: policy.SessionCreated, _: str) -> str:
    return f"agent {event.agent_id} logged in at {word(event, 'tier')}"


def _tier_moved(event: policy.AgentPromoted | policy.AgentDemoted, _: str) -> str:
    grounds = event.grounds
    verb = "promoted" if isinstance(event, policy.AgentPromoted) else "demoted"
    by = f"{grounds.by} by {grounds.rule}" if grounds.rule else grounds.by
    approval = f", approval {grounds.approval_id}" if grounds.approval_id else ""
    why = f": {cut(grounds.why)}" if grounds.why else ""
    return (
        f"{by} {verb} agent {event.agent_id} from {word(event, 'from_tier')} to {word(event, 'to_tier')} "
        f"({grounds.compliant_in_row} verified and compliant in a row, {grounds.violations} violations{approval}){why}"
    )


def _agent_suspended(event: policy.AgentSuspended, _: str) -> str:
    why = f": {cut(event.why)}" if event.why else ""
    return f"{event.by} suspended agent {event.agent_id}{why}"


def _agent_resumed(event: policy.AgentResumed, _: str) -> str:
    why = f": {cut(event.why)}" if event.why else ""
    return f"{event.by} let agent {event.agent_id} go on{why}"


def _agent_revoked(event: policy.AgentRevoked, _: str) -> str:
    return f"{event.by} revoked agent {event.agent_id} ({event.kind}): {cut(event.details)}"


def _policy_set(event: policy.PolicySetPublished, _: str) -> str:
    why = f": {cut(event.why)}" if event.why else ""
    return f"{event.by} put policy set {event.version} in force{why}"


def _policy_set_back(event: policy.PolicySetRolledBack, _: str) -> str:
    why = f": {cut(event.why)}" if event.why else ""
    return (
        f"{event.by} put policy set {event.to_version} in force again, instead of {event.from_version}{why}"
    )


def _decisions_made(event: policy.DecisionsMade, run_id: str) -> str:
    wanted = [each for each in event.decisions if run_id in ("", each.run_id)] or list(event.decisions)
    return listed(
        f"{word(each, 'verdict')} {_action(each.action)} for {each.agent_id} by {each.rule} "
        f"({each.reason}, policy {each.policy_version}){_by_approval(each)}"
        for each in wanted
    )


def _approval_requested(event: policy.ApprovalRequested, _: str) -> str:
    why = f": {cut(event.why)}" if event.why else ""
    people = "people were" if event.needed < 2 else f"{event.needed} people were"
    return (
        f"{people} asked to approve {_action(event.action)} for {event.agent_id}, "
        f"on behalf of {event.requested_by}{why}"
    )


def _approval_voted(event: policy.ApprovalVoted, _: str) -> str:
    said = f": {cut(event.comment)}" if event.comment else ""
    return f"{event.by} said {word(event, 'vote')} to {event.approval_id}, which needs more{said}"


def _approval_answered(event: policy.ApprovalAnswered, _: str) -> str:
    said = f": {cut(event.comment)}" if event.comment else ""
    refused = "sent back" if event.changes_requested else "rejected"
    return f"{event.by} {'approved' if event.approved else refused} {event.approval_id}{said}"


def _approval_used(event: policy.ApprovalUsed, _: str) -> str:
    return f"approval {event.approval_id} was spent on decision {event.decision_id}"


def _access_refused(event: gateway.AccessRefused, _: str) -> str:
    return "turned away at the door: " + listed(
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
    policy.SecretWrapped: _secret_wrapped,
    policy.SecretUnwrapped: _secret_unwrapped,
    policy.SessionCreated: _session_created,
    policy.AgentPromoted: _tier_moved,
    policy.AgentDemoted: _tier_moved,
    policy.AgentSuspended: _agent_suspended,
    policy.AgentResumed: _agent_resumed,
    policy.AgentRevoked: _agent_revoked,
    policy.PolicySetPublished: _policy_set,
    policy.PolicySetRolledBack: _policy_set_back,
    policy.DecisionsMade: _decisions_made,
    policy.ApprovalRequested: _approval_requested,
    policy.ApprovalVoted: _approval_voted,
    policy.ApprovalAnswered: _approval_answered,
    policy.ApprovalUsed: _approval_used,
    gateway.AccessRefused: _access_refused,
    **STATE,
    **BUDGETS,
    **REVOCATIONS,
}


def _effect(effect: Any) -> str:
    why = f" ({effect.error_type}: {cut(effect.error_message)})" if effect.error_type else ""
    return f"{effect.action_id} {word(effect, 'state')}{why}: {cut(effect.summary)}"


def _by_approval(decision: Any) -> str:
    return f", approval {decision.approval_id}" if decision.approval_id else ""


def _action(action: Any) -> str:
    return f"{action.name} on {cut(action.target)}" if action.target else str(action.name)


def _entered(event: Any) -> str:
    return f"; entered {word(event.entered, 'phase')}" if event.HasField("entered") else ""
