"""Policy over gRPC: unwrap, ask, wrap. What a caller may is in `roles`."""

from services.policy.handlers import Policy
from services.policy.rpc.agents import AgentsRpc
from services.policy.rpc.approvals import ApprovalsRpc
from services.policy.rpc.budgets import BudgetsRpc
from services.policy.rpc.decisions import DecisionsRpc
from services.policy.rpc.door import Door
from services.policy.rpc.revocation import RevocationRpc
from services.policy.rpc.sessions import SessionsRpc
from services.policy.rpc.sets import SetsRpc
from services.policy.rpc.simulating import SimulatingRpc

HOT = frozenset({"AuthorizeResponse", "BatchAuthorizeResponse", "StreamAuthorizeResponse"})
"""Answers with nothing sealed in them: decisions are told as they were made, and sealed as they are written down."""

__all__ = ["HOT", "PolicyServicer"]


class PolicyServicer(
    AgentsRpc, RevocationRpc, SessionsRpc, DecisionsRpc, ApprovalsRpc, BudgetsRpc, SetsRpc, SimulatingRpc
):
    """Answers for `provost.policy.v1.PolicyService`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._door = Door()
