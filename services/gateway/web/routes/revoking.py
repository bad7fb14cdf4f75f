"""The end of an agent's power, and the receipt for it."""

from fastapi import Request

from services.gateway.domain.receipts import Receipt, RevokedAgent
from services.gateway.domain.records import Revocation
from services.gateway.web.auth import Doors, Who
from services.gateway.web.given import Once, given
from services.gateway.web.shapes import AgentId, RevokeBody


async def revoke_agent(
    request: Request, gateway: Doors, caller: Who, once: Once, agent_id: AgentId
) -> RevokedAgent:
    """Take all power from an agent and those it controls, for good. The body may give a reason.

    Answers with the receipt once everyone who held some of its power has said that it is gone, or time is up.
    """
    said = await given(request, RevokeBody, may_be_empty=True)
    ask = Revocation(once.id_of(said.request_id), agent_id, "operator", said.reason, said.wait_ms)
    return await gateway.policy.revoke_agent(ask, caller)


async def get_receipt(gateway: Doors, caller: Who, agent_id: AgentId) -> Receipt:
    """What a revocation took, surface by surface, in the signed words of who lost it."""
    return await gateway.policy.receipt(agent_id, caller)
