"""Agents: registered, looked at, suspended, moved between tiers; and what they may still spend."""

from fastapi import Request

from chassis import process
from services.gateway.domain.records import Agent, Listing, Page
from services.gateway.domain.standing import Budget, Move, Promoted, Register, SetBudget
from services.gateway.web import bodies
from services.gateway.web.auth import Doors, Who
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.routes.values import Word
from services.gateway.web.rule_shapes import BudgetBody, MoveBody, RegisterBody, WhyBody
from services.gateway.web.shapes import AgentId, S, shaped


async def register_agent(request: Request, gateway: Doors, caller: Who) -> Agent:
    """Make an agent known at a tier. Its secret is made over gRPC or with `provost agents secret`."""
    given = await _given(request, RegisterBody)
    ask = Register(
        given.request_id or process.new_id(),
        given.agent_id,
        given.tier,
        given.agent_version,
        given.parent_agent_id,
    )
    return await gateway.rules.register(ask, caller)


async def get_agent(gateway: Doors, caller: Who, agent_id: AgentId) -> Agent:
    """One agent: its tier, whether it may act, what it has shown of itself."""
    return await gateway.rules.agent(agent_id, caller)


async def suspend_agent(request: Request, gateway: Doors, caller: Who, agent_id: AgentId) -> Agent:
    """Refuse an agent everything until it is resumed. The body may say why."""
    return await gateway.rules.suspend(await _why(request, agent_id), caller)


async def resume_agent(request: Request, gateway: Doors, caller: Who, agent_id: AgentId) -> Agent:
    """Let a suspended agent go on. The body may say why."""
    return await gateway.rules.resume(await _why(request, agent_id), caller)


async def promote_agent(request: Request, gateway: Doors, caller: Who, agent_id: AgentId) -> Promoted:
    """Move an agent one tier up; with `approval`, it waits for people."""
    return await gateway.rules.promote(await _move(request, agent_id), caller)


async def demote_agent(request: Request, gateway: Doors, caller: Who, agent_id: AgentId) -> Agent:
    """Move an agent one tier down, at once."""
    return await gateway.rules.demote(await _move(request, agent_id), caller)


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


async def set_budget(request: Request, gateway: Doors, caller: Who) -> Budget:
    """Set limits by hand, beside those of the policy set: the tightest holds. Without limits, they are taken back."""
    given = await _given(request, BudgetBody)
    ask = SetBudget(
        given.request_id or process.new_id(),
        given.scope,
        given.scope_id,
        {str(unit): most for unit, most in given.limits.items()},
        given.window_seconds,
        given.why,
    )
    return await gateway.rules.set_budget(ask, caller)


async def _why(request: Request, agent_id: str) -> Move:
    store: bodies.Bodies = request.app.state.bodies
    async with store.read(request) as body:
        given = shaped(WhyBody, bodies.parse_json(body)) if body.strip() else WhyBody()
    return Move(given.request_id or process.new_id(), agent_id, given.why)


async def _move(request: Request, agent_id: str) -> Move:
    given = await _given(request, MoveBody)
    return Move(given.request_id or process.new_id(), agent_id, given.why, given.to_tier)


async def _given(request: Request, shape: type[S]) -> S:
    store: bodies.Bodies = request.app.state.bodies
    async with store.read(request) as body:
        return shaped(shape, bodies.parse_json(body))
