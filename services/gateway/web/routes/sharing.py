"""What is true now: tasks, boards, messages, locks, and who is stuck."""

from typing import Literal

from fastapi import Request

from services.gateway.domain.records import Page
from services.gateway.domain.sharing import (
    Acknowledge,
    AgentNow,
    BoardEntry,
    HeldLock,
    Message,
    MessageFilter,
    Read,
    Released,
    StateListing,
    Task,
    TaskNow,
)
from services.gateway.web.auth import Doors, Who
from services.gateway.web.given import Once, given
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.routes.values import Word
from services.gateway.web.shapes import AcknowledgeBody, AgentId, ReleaseBody, Token

Section = Literal["", "problem", "solutions", "progress", "consensus"]


async def list_tasks(
    gateway: Doors, caller: Who, page_size: PageSize = 0, page_token: PageToken = ""
) -> StateListing[Task]:
    """Tasks, last changed first."""
    return await gateway.state.tasks(Page(page_size, page_token), caller)


async def get_task(gateway: Doors, caller: Who, task_id: Token) -> TaskNow:
    """A task as it is: agents, phases, locks, budgets, board, messages, who waits for what."""
    return await gateway.state.task(task_id, caller)


async def get_board(
    gateway: Doors,
    caller: Who,
    task_id: Token,
    section: Section = "",
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> StateListing[BoardEntry]:
    """A task's blackboard, by section and key."""
    return await gateway.state.board(task_id, section, Page(page_size, page_token), caller)


async def list_messages(
    gateway: Doors,
    caller: Who,
    task_id: Token,
    agent_id: Word = "",
    acknowledged_too: bool = False,
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> StateListing[Message]:
    """Messages of a task, oldest first; those to one agent with `agent_id`. Unread ones unless told otherwise."""
    wanted = MessageFilter(task_id, agent_id, acknowledged_too)
    return await gateway.state.messages(wanted, Page(page_size, page_token), caller)


async def list_locks(
    gateway: Doors, caller: Who, task_id: Word = "", page_size: PageSize = 0, page_token: PageToken = ""
) -> StateListing[HeldLock]:
    """Locks that are held, and who waits for each."""
    return await gateway.state.locks(task_id, Page(page_size, page_token), caller)


async def list_stuck(
    gateway: Doors, caller: Who, task_id: Word = "", page_size: PageSize = 0, page_token: PageToken = ""
) -> StateListing[AgentNow]:
    """Agents that make no progress, and how that shows."""
    return await gateway.state.stuck(task_id, Page(page_size, page_token), caller)


async def release_lock(
    request: Request, gateway: Doors, caller: Who, once: Once, agent_id: AgentId
) -> Released:
    """Take an agent's lock away from its holder, whose writes are refused from then on."""
    said = await given(request, ReleaseBody)
    return await gateway.state.release_lock(once.id_of(said.request_id), agent_id, said.reason, caller)


async def acknowledge_messages(
    request: Request, gateway: Doors, caller: Who, once: Once, task_id: Token
) -> Read:
    """Take messages to an agent for read, in its name: one that is gone, say, whose inbox is full."""
    said = await given(request, AcknowledgeBody)
    wanted = Acknowledge(task_id, said.agent_id, said.up_to_sequence, tuple(said.message_ids))
    return await gateway.state.acknowledge(once.id_of(said.request_id), wanted, caller)
