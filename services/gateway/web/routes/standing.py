"""Agents: registered, looked at, suspended, moved between tiers; and what they may still spend."""

from fastapi import Request

from services.gateway.domain.records import Agent, Listing, Page
from services.gateway.domain.standing import Budget, Move, Promoted, Register, SetBudget
from services.gateway.web.auth import Doors, Who
from services.gateway.web.given import Once, given
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.routes.values import Word
from services.gateway.web.rule_shapes import BudgetBody, MoveBody, RegisterBody, WhyBody
from services.gateway.web.shapes import AgentId


async def register_agent(request: Request, gateway: Doors, caller: Who, once: Once) -> Agent:
    """Make an agent known at a tier. Its secret is made over gRPC or with `provost agents secret`."""
    said = await given(request, RegisterBody)
    ask = Register(
        once.id_of(said.request_id), said.agent_id, said.tier, said.agent_version, said.parent_agent_id
    )
    return await gateway.rules.register(ask, caller)


async def get_agent(gateway: Doors, caller: Who, agent_id: AgentId) -> Agent:
    """One agent: its tier, whether it may act, what it has shown of itself."""
    return await gateway.rules.agent(agent_id, caller)


async def suspend_agent(
    request: Request, gateway: Doors, caller: Who, once: Once, agent_id: AgentId
) -> Agent:
    """Refuse an agent everything until it is resumed. The body may say why."""
    return await gateway.rules.suspend(await _why(request, once, agent_id), caller)


async def resume_agent(request: Request, gateway: Doors, caller: Who, once: Once, agent_id: AgentId) -> Agent:
    """Let a suspended agent go on. The body may say why."""
    return await gateway.rules.resume(await _why(request, once, agent_id), caller)


async def promote_agent(
    request: Request, gateway: Doors, caller: Who, once: Once, agent_id: AgentId
) -> Promoted:
    """Move an agent one tier up; with `approval`, it waits for people."""
    return await gateway.rules.promote(await _move(request, once, agent_id), caller)


async def demote_agent(request: Request, gateway: Doors, caller: Who, once: Once, agent_id: AgentId) -> Agent:
    """Move an agent one tier down, at once."""
    return await gateway.rules.demote(await _move(request, once, agent_id), caller)


async def list_budgets(
    gateway: Doors,
    caller: Who,
    run_id: Word = "",
    agent_id: Word = "",
    task_id: Word = "",
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[Budget]:
    """Budgets: limits, what is spent, what is set aside; those that a run, agent or task draws on, or all in use."""
    return await gateway.rules.budgets(run_id, agent_id, task_id, Page(page_size, page_token), caller)


async def set_budget(request: Request, gateway: Doors, caller: Who, once: Once) -> Budget:
    """Set limits by hand, beside those of the policy set: the tightest holds. Without limits, they are taken back."""
    said = await given(request, BudgetBody)
    ask = SetBudget(
        once.id_of(said.request_id),
        said.scope,
        said.scope_id,
        {str(unit): most for unit, most in said.limits.items()},
        said.window_seconds,
        said.why,
    )
    return await gateway.rules.set_budget(ask, caller)


async def _why(request: Request, once: Once, agent_id: str) -> Move:
    said = await given(request, WhyBody, may_be_empty=True)
    return Move(once.id_of(said.request_id), agent_id, said.why)


async def _move(request: Request, once: Once, agent_id: str) -> Move:
    said = await given(request, MoveBody)
    return Move(once.id_of(said.request_id), agent_id, said.why, said.to_tier)
