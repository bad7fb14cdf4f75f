"""What people decide: approvals; and the agents there are."""

from fastapi import Request

from services.gateway.domain.records import (
    Agent,
    Answer,
    Approval,
    ApprovalState,
    Listing,
    Page,
)
from services.gateway.web.auth import Doors, Who
from services.gateway.web.given import Once, given
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.shapes import AnswerBody, Token


async def list_approvals(
    gateway: Doors,
    caller: Who,
    state: ApprovalState | None = None,
    run_id: Token | None = None,
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[Approval]:
    """Requests for approval, newest first; without `state`, those that wait for an answer."""
    return await gateway.policy.approvals(state, run_id or "", Page(page_size, page_token), caller)


async def answer_approval(
    request: Request, gateway: Doors, caller: Who, once: Once, approval_id: Token
) -> Approval:
    """Approve or reject one exact action, or ask for changes: one vote. Whoever asked for it has none."""
    vote = await given(request, AnswerBody)
    answer = Answer(once.id_of(vote.request_id), approval_id, vote.said, vote.comment)
    return await gateway.policy.answer_approval(answer, caller)


async def list_agents(
    gateway: Doors, caller: Who, page_size: PageSize = 0, page_token: PageToken = ""
) -> Listing[Agent]:
    """Agents by id, with their tiers."""
    return await gateway.policy.agents(Page(page_size, page_token), caller)
