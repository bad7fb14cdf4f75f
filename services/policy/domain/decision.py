"""The decision: may this agent do this, here, now? Pure, and the first refusal wins.

    agent known → not revoked → packet (is there one, forbidden, scope) → tier table → mode → approval needed?

Whatever is not named is refused. Token and tenant are looked at before, the approval itself after: see `approved`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kernel.faults import Fault
from services.policy.domain.action import ENVIRONMENTS, Action, Mode, Packet
from services.policy.domain.agent import Agent
from services.policy.domain.amounts import Amounts
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset import PolicySet
from services.policy.domain.reservation import Reservation
from services.policy.domain.tier import Tier

DRY_RUN = "dry_run"


class Verdict(StrEnum):
    ALLOW = "ALLOW"
    DENY = "DENY"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"


@dataclass(frozen=True, slots=True)
class Question:
    """Everything a decision rests on. `policy` is None when the set in force cannot be read."""

    action: Action
    mode: Mode | None
    agent_id: str
    task_id: str
    agent: Agent
    packet: Packet | None
    policy: PolicySet | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the rule and reason it rests on, and one sentence that says what would have to change."""

    verdict: Verdict
    rule: str
    reason: str
    explanation: str
    obligations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision, as it is kept. `mode` and `tier` are None where nobody knows them."""

    decision_id: str
    agent_id: str
    run_id: str
    task_id: str
    action: Action
    mode: Mode | None
    verdict: Verdict
    rule: str
    reason: str
    explanation: str
    tier: Tier | None
    policy_version: str
    action_digest: str
    approval_id: str
    agent_version: str
    at: datetime
    labels: tuple[str, ...] = ()
    steps_done: tuple[str, ...] = ()
    cost: Amounts | None = None


@dataclass(frozen=True, slots=True)
class DecisionsMade:
    """All decisions that were committed together, of one tenant by one replica, and what was set aside for them."""

    decisions: tuple[DecisionRecord, ...]
    reservations: tuple[Reservation, ...] = ()


def judge(question: Question) -> Judgement:
    """The verdict on `question`, before any approval is looked at."""
    agent, packet, policy, action = question.agent, question.packet, question.policy, question.action
    if agent.registered is None:
        return _deny(
            "agent.known",
            "AGENT_UNKNOWN",
            f"agent {shown(question.agent_id)} is not registered: register it first.",
        )
    if agent.revoked is not None:
        return revoked(agent)
    if packet is None or packet.task_id != question.task_id:
        return _deny(
            "packet.present",
            "NO_PACKET",
            f"{shown(question.agent_id)} has no instruction packet for {shown(question.task_id)}: issue one.",
        )
    forbidden = first_match(packet.forbidden, action.name)
    if forbidden is not None:
        return _deny(
            "packet.forbidden",
            "FORBIDDEN_BY_PACKET",
            f"the packet forbids {shown(forbidden)}, as {shown(action.name)} is: it would take another packet.",
        )
    if packet.scope and first_match(packet.scope, action.name) is None:
        return _deny(
            "packet.scope",
            "OUT_OF_SCOPE",
            f"the packet's scope lacks {shown(action.name)}: it would take another packet.",
        )
    if policy is None:
        return _deny(
            "policy.readable",
            "POLICY_SET_INVALID",
            "the policy set in force cannot be read: publish one that can.",
        )
    return _by_table(question, agent, policy)


def _by_table(question: Question, agent: Agent, policy: PolicySet) -> Judgement:
    action, tier = question.action, agent.tier
    row = policy.row(tier, action.environment, action.name)
    grant = None
    if row is not None:
        grant = next((each for each in row.grants if each.covers(action.target)), None)
    if row is None or grant is None:
        return _outside_table(action, tier, policy)
    match question.mode:
        case None:
            return _deny(
                "mode.known", "MODE_UNKNOWN", "the run's mode is unknown: it must be safe, assisted or auto."
            )
        case Mode.SAFE:
            text = f"{grant.rule} has {action.name} in {action.environment}; a safe run only shows it."
            return Judgement(Verdict.ALLOW, grant.rule, "ALLOWED_DRY_RUN", text, (DRY_RUN,))
        case Mode.ASSISTED:
            return _needs_approval(row.approval_rule or "mode.assisted", action)
        case Mode.AUTO if row.approval_rule is not None:
            return _needs_approval(row.approval_rule, action)
        case Mode.AUTO:
            text = f"{grant.rule} has {action.name} in {action.environment}, and {tier} includes it."
            return Judgement(Verdict.ALLOW, grant.rule, "ALLOWED_BY_TIER", text)


def _outside_table(action: Action, tier: Tier, policy: PolicySet) -> Judgement:
    rule = f"tier.{tier}"
    if action.name not in policy.actions:
        text = (
            f"policy set {policy.version} knows no {shown(action.name)}: it would take a set that names it."
        )
        return _deny(rule, "ACTION_UNKNOWN", text)
    if action.environment not in ENVIRONMENTS:
        text = f"{shown(action.environment)} is no environment: it must be sandbox, staging or production."
        return _deny(rule, "ENVIRONMENT_NOT_ALLOWED", text)
    where = f"{action.name} in {action.environment}"
    least = policy.least_tier(action.environment, action.name, action.target)
    if least is not None:
        return _deny(rule, "TIER_TOO_LOW", f"{tier} may not do {where}: it would take {least} or higher.")
    if policy.row(tier, action.environment, action.name) is not None:
        text = f"{tier} may do {where}, but not to {shown(action.target)}: it would take another policy set."
        return _deny(rule, "OUT_OF_SCOPE", text)
    text = f"no tier may do {where}: it would take another environment or policy set."
    return _deny(rule, "ENVIRONMENT_NOT_ALLOWED", text)


def approved(judgement: Judgement, approval_id: str) -> Judgement:
    """What becomes of a judgement that needed approval, once a good one has been spent on it."""
    text = (
        f"{judgement.rule} asks for a person's approval; {shown(approval_id)} gives it for this action, once."
    )
    return Judgement(Verdict.ALLOW, judgement.rule, "ALLOWED_BY_APPROVAL", text)


def approval_refused(judgement: Judgement, fault: Fault) -> Judgement:
    """What becomes of it when the approval is no good; one that nobody has answered yet may still become so."""
    verdict = Verdict.NEEDS_APPROVAL if fault.reason == "APPROVAL_PENDING" else Verdict.DENY
    return Judgement(verdict, judgement.rule, fault.reason, f"{fault.text}.")


def revoked(agent: Agent) -> Judgement:
    """The verdict on anything a revoked agent asks."""
    text = f"agent {shown(agent.agent_id)} is revoked for good: another agent would have to be registered."
    return _deny("agent.revoked", "AGENT_REVOKED", text)


def token_refused(fault: Fault) -> Judgement:
    """The verdict when the session token does not say who is asking."""
    return _deny("token", fault.reason, f"{fault.text}.")


def shown(text: str) -> str:
    """`text` as it may stand in an explanation: printable ASCII, in quotes, at most 80 characters of it."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _deny(rule: str, reason: str, explanation: str) -> Judgement:
    return Judgement(Verdict.DENY, rule, reason, explanation)


def _needs_approval(rule: str, action: Action) -> Judgement:
    text = (
        f"{rule} asks for a person's approval of {action.name} in {action.environment}: request one for it."
    )
    return Judgement(Verdict.NEEDS_APPROVAL, rule, "APPROVAL_REQUIRED", text)
