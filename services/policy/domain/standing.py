"""Where an agent stands: its tier, one step at a time, who controls it, and whether it is suspended."""

from dataclasses import dataclass
from datetime import datetime

from services.policy.domain.faults import ApproverNotAPerson, ParentInvalid, TierStepTooLarge
from services.policy.domain.tier import Tier, step, up_to


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why a tier moved, in full: the rule (empty when a person did it), and what it rested on at that moment."""

    rule: str
    why: str
    by: str
    approval_id: str = ""
    policy_version: str = ""
    compliant_in_row: int = 0
    violations: int = 0
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromoteAgent:
    """`since` is when the agent got the tier that this is about; since another time, nothing changes. `parent_tier` is
    that of the agent which controls it, if one does."""

    agent_id: str
    to_tier: Tier
    grounds: Grounds
    at: datetime
    since: datetime | None = None
    parent_agent_id: str = ""
    parent_tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class DemoteAgent:
    """`since` as in PromoteAgent."""

    agent_id: str
    to_tier: Tier
    grounds: Grounds
    at: datetime
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class SuspendAgent:
    agent_id: str
    why: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ResumeAgent:
    agent_id: str
    why: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AgentPromoted:
    agent_id: str
    from_tier: Tier
    to_tier: Tier
    grounds: Grounds
    at: datetime


@dataclass(frozen=True, slots=True)
class AgentDemoted:
    agent_id: str
    from_tier: Tier
    to_tier: Tier
    grounds: Grounds
    at: datetime


@dataclass(frozen=True, slots=True)
class AgentSuspended:
    agent_id: str
    why: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AgentResumed:
    agent_id: str
    why: str
    by: str
    at: datetime


def promoted(tier: Tier, since: datetime | None, command: PromoteAgent) -> AgentPromoted | None:
    """Raises TierStepTooLarge: it is not one tier up. ParentInvalid: it would stand above who controls it.
    ApproverNotAPerson: an agent says so."""
    if command.grounds.by.startswith("agent:"):
        raise ApproverNotAPerson(command.grounds.by)
    if command.to_tier is tier or command.since not in (None, since):
        return None
    if command.to_tier is not step(tier, 1):
        raise TierStepTooLarge(command.agent_id, tier, command.to_tier)
    if command.parent_tier is not None and command.to_tier not in up_to(command.parent_tier):
        why = f"it is at {command.parent_tier}, and {command.to_tier} is above that"
        raise ParentInvalid(command.agent_id, command.parent_agent_id, why)
    return AgentPromoted(command.agent_id, tier, command.to_tier, command.grounds, command.at)


def demoted(tier: Tier, since: datetime | None, command: DemoteAgent) -> AgentDemoted | None:
    """Raises TierStepTooLarge: it is not one tier down."""
    if command.to_tier is tier or command.since not in (None, since):
        return None
    if command.to_tier is not step(tier, -1):
        raise TierStepTooLarge(command.agent_id, tier, command.to_tier)
    return AgentDemoted(command.agent_id, tier, command.to_tier, command.grounds, command.at)


def require_parent(
    agent_id: str, parent_agent_id: str, tier: Tier, parent_tier: Tier | None, *, revoked: bool
) -> None:
    """Whether an agent at `tier` may be under this one. As it must be known before, there are no circles.

    Raises:
        ParentInvalid: it is the agent itself, unknown (`parent_tier` is None), revoked, or of a lower tier.
    """
    if parent_agent_id == agent_id:
        raise ParentInvalid(agent_id, parent_agent_id, "nobody controls themselves")
    if parent_tier is None:
        raise ParentInvalid(agent_id, parent_agent_id, "it is not registered")
    if revoked:
        raise ParentInvalid(agent_id, parent_agent_id, "it is revoked")
    if tier not in up_to(parent_tier):
        raise ParentInvalid(agent_id, parent_agent_id, f"it is at {parent_tier}, and {tier} is above that")
