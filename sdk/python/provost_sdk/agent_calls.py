"""What the client asks of policy about agents: who they are, their secrets, their tiers, the end of their power."""

from typing import TYPE_CHECKING

from provost.policy.v1 import policy_pb2
from provost_sdk.errors import InvalidRequest
from provost_sdk.transport import Connection, new_request_id

if TYPE_CHECKING:
    from provost.policy.v1.policy_pb2_grpc import PolicyServiceAsyncStub


class AgentCalls(Connection):
    """The part of the client that governs agents. Everything is of the key's own tenant."""

    _policy: "PolicyServiceAsyncStub"

    async def get_agent(self, agent_id: str, *, at_least_sequence: int = 0) -> policy_pb2.Agent:
        """One agent: its tier, its state, what it has shown of itself. Reason AGENT_UNKNOWN."""
        request = policy_pb2.GetAgentRequest(agent_id=agent_id, at_least_sequence=at_least_sequence)
        return (await self._call(self._policy.GetAgent, request)).agent

    async def list_agents(self, *, page_size: int = 0, page_token: str = "") -> policy_pb2.ListAgentsResponse:
        request = policy_pb2.ListAgentsRequest(page_size=page_size, page_token=page_token)
        return await self._call(self._policy.ListAgents, request)

    async def register_agent(
        self, agent_id: str, tier: str, *, version: str = "", parent: str = "", request_id: str = ""
    ) -> policy_pb2.Agent:
        """Make an agent known at a tier, as `T1` or `T1_OPERATOR`; needs an admin's key."""
        request = policy_pb2.RegisterAgentRequest(
            request_id=request_id or new_request_id(),
            agent_id=agent_id,
            tier=tier_of(tier),
            agent_version=version,
            parent_agent_id=parent,
        )
        return (await self._call(self._policy.RegisterAgent, request)).agent

    async def create_secret(
        self, agent_id: str, *, wrap_seconds: int = 0, request_id: str = ""
    ) -> policy_pb2.CreateSecretResponse:
        """A new secret for an agent, shown this once, or a token that is good for one, once. Needs an admin's key."""
        request = policy_pb2.CreateSecretRequest(
            request_id=request_id or new_request_id(), agent_id=agent_id, wrap_seconds=wrap_seconds
        )
        return await self._call(self._policy.CreateSecret, request)

    async def unwrap_secret(
        self, wrapping_token: str, *, request_id: str = ""
    ) -> policy_pb2.UnwrapSecretResponse:
        """The secret that a wrapping token stands for, once. Reason WRAPPING_TOKEN_INVALID."""
        request = policy_pb2.UnwrapSecretRequest(
            request_id=request_id or new_request_id(), wrapping_token=wrapping_token
        )
        return await self._call(self._policy.UnwrapSecret, request)

    async def suspend_agent(self, agent_id: str, *, why: str = "", request_id: str = "") -> policy_pb2.Agent:
        """Refuse an agent everything until it is resumed."""
        request = policy_pb2.SuspendAgentRequest(
            request_id=request_id or new_request_id(), agent_id=agent_id, why=why
        )
        return (await self._call(self._policy.SuspendAgent, request)).agent

    async def resume_agent(self, agent_id: str, *, why: str = "", request_id: str = "") -> policy_pb2.Agent:
        """Let a suspended agent go on; needs an admin's key."""
        request = policy_pb2.ResumeAgentRequest(
            request_id=request_id or new_request_id(), agent_id=agent_id, why=why
        )
        return (await self._call(self._policy.ResumeAgent, request)).agent

    async def promote_agent(
        self, agent_id: str, to_tier: str, *, why: str = "", request_id: str = ""
    ) -> policy_pb2.PromoteAgentResponse:
        """One tier up; `approval` is set when it waits for one. Needs an admin's key. Reason TIER_STEP_TOO_LARGE."""
        request = policy_pb2.PromoteAgentRequest(
            request_id=request_id or new_request_id(), agent_id=agent_id, to_tier=tier_of(to_tier), why=why
        )
        return await self._call(self._policy.PromoteAgent, request)

    async def demote_agent(
        self, agent_id: str, to_tier: str, *, why: str = "", request_id: str = ""
    ) -> policy_pb2.Agent:
        """One tier down, at once. Reason TIER_STEP_TOO_LARGE."""
        request = policy_pb2.DemoteAgentRequest(
            request_id=request_id or new_request_id(), agent_id=agent_id, to_tier=tier_of(to_tier), why=why
        )
        return (await self._call(self._policy.DemoteAgent, request)).agent

    async def revoke_agent(
        self, agent_id: str, *, reason: str = "", request_id: str = ""
    ) -> policy_pb2.Agent:
        """Take all power from an agent and those it controls, for good. `revoke` says what it took, and how fast."""
        return (await self.revoke(agent_id, reason=reason, request_id=request_id)).agent

    async def revoke(
        self, agent_id: str, *, reason: str = "", wait_ms: int = 0, request_id: str = ""
    ) -> policy_pb2.RevokeAgentResponse:
        """As `revoke_agent`; answers with the receipt, once everyone who held power of it has said that it is gone.

        `wait_ms` is how long to wait for their word (0: 2000): who has not spoken by then is named as silent.
        """
        request = policy_pb2.RevokeAgentRequest(
            request_id=request_id or new_request_id(),
            agent_id=agent_id,
            kind="operator",
            details=reason,
            wait_ms=wait_ms,
        )
        return await self._call(self._policy.RevokeAgent, request, self._timeout_seconds + wait_ms / 1000)

    async def get_revocation_receipt(
        self, agent_id: str, *, at_least_sequence: int = 0
    ) -> policy_pb2.RevocationReceipt:
        """What a revocation took, surface by surface, in the signed words of who lost it. Reason RECEIPT_UNKNOWN."""
        request = policy_pb2.GetRevocationReceiptRequest(
            agent_id=agent_id, at_least_sequence=at_least_sequence
        )
        return (await self._call(self._policy.GetRevocationReceipt, request)).receipt


def tier_of(name: str) -> "policy_pb2.Tier.ValueType":
    """The tier called `name`, as `T1` or `T1_OPERATOR`.

    Raises:
        InvalidRequest: FIELD_INVALID; there is none.
    """
    wanted = name.upper()
    for known, number in policy_pb2.Tier.items():
        short = known.removeprefix("TIER_")
        if wanted in (short, short.partition("_")[0]) and number:
            return number
    text = f"no tier is called {name!r}: T0, T1, T2, T3 and T4 are"
    raise InvalidRequest("FIELD_INVALID", text, {"field": "tier"})
