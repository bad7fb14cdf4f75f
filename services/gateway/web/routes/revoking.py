"""The end of an agent's power, and the receipt for it."""

from fastapi import Request

from chassis import process
from services.gateway.domain.receipts import Receipt, RevokedAgent
from services.gateway.domain.records import Revocation
from services.gateway.web import bodies
from services.gateway.web.auth import Doors, Who
from services.gateway.web.shapes import AgentId, RevokeBody, shaped


async def revoke_agent(request: Request, gateway: Doors, caller: Who, agent_id: AgentId) -> RevokedAgent:
    """Take all power from an agent and those it controls, for good. The body may give a reason.

    Answers with the receipt once everyone who held some of its power has said that it is gone, or time is up.
    """
    store: bodies.Bodies = request.app.state.bodies
    async with store.read(request) as body:
        given = shaped(RevokeBody, bodies.parse_json(body)) if body.strip() else RevokeBody()
    ask = Revocation(process.new_id(), agent_id, "operator", given.reason, given.wait_ms)
    return await gateway.policy.revoke_agent(ask, caller)


async def get_receipt(gateway: Doors, caller: Who, agent_id: AgentId) -> Receipt:
    """What a revocation took, surface by surface, in the signed words of who lost it."""
    return await gateway.policy.receipt(agent_id, caller)
