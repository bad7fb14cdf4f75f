"""Use cases: look up, decide, append. Knows neither wire nor servers, and reads no clock."""

from dataclasses import dataclass

from services.policy.handlers.agents import Agents
from services.policy.handlers.approvals import Approvals
from services.policy.handlers.authorization import Authorization
from services.policy.handlers.policysets import PolicySets

__all__ = ["Agents", "Approvals", "Authorization", "Policy", "PolicySets"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The service: one part per kind of thing it keeps, and the decision that rests on all of them."""

    agents: Agents
    approvals: Approvals
    policy_sets: PolicySets
    authorization: Authorization
