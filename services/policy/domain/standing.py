"""Where an agent stands: its tier, one step at a time, and whether it is suspended."""

from dataclasses import dataclass
from datetime import datetime

from services.policy.domain.faults import TierStepTooLarge
from services.policy.domain.tier import Tier, step


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
    agent_id: str
    to_tier: Tier
    grounds: Grounds
    at: datetime


@dataclass(frozen=True, slots=True)
class DemoteAgent:
    agent_id: str
    to_tier: Tier
    grounds: Grounds
    at: datetime


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


def promoted(tier: Tier, command: PromoteAgent) -> AgentPromoted | None:
    """Raises TierStepTooLarge: it is not one tier up."""
    if command.to_tier is tier:
        return None
    if command.to_tier is not step(tier, 1):
        raise TierStepTooLarge(command.agent_id, tier, command.to_tier)
    return AgentPromoted(command.agent_id, tier, command.to_tier, command.grounds, command.at)


def demoted(tier: Tier, command: DemoteAgent) -> AgentDemoted | None:
    """Raises TierStepTooLarge: it is not one tier down."""
    if command.to_tier is tier:
        return None
    if command.to_tier is not step(tier, -1):
        raise TierStepTooLarge(command.agent_id, tier, command.to_tier)
    return AgentDemoted(command.agent_id, tier, command.to_tier, command.grounds, command.at)
