"""Tasks as they are: who works on them, where everybody stands, and what they share."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from kernel.events import Cause, require_token
from kernel.faults import Unavailable
from kernel.ports import Following
from services.state.domain.board import Entry
from services.state.domain.faults import TaskUnknown
from services.state.domain.inbox import Message
from services.state.domain.page import Page, page_size_of
from services.state.domain.recent import Touched
from services.state.domain.snapshot import AgentSnapshot, LockInUse
from services.state.domain.summary import TaskSummary, summary
from services.state.domain.task import Artifact, Handoff
from services.state.domain.view import View
from services.state.handlers.agents import Agents
from services.state.handlers.boards import Boards
from services.state.handlers.inboxes import Inboxes
from services.state.handlers.locks import Locks
from services.state.handlers.tasks import Tasks
from services.state.handlers.working import Working

T = TypeVar("T")
MOST_AGENTS, MOST_OF_EACH = 50, 100
"""So many are shown of a task at once."""


@dataclass(frozen=True, slots=True)
class TaskShown:
    """A task, with as much of each list as is shown at once; `incomplete` when there is more, or cannot be read."""

    task: TaskSummary
    agents: tuple[AgentSnapshot, ...]
    locks: tuple[LockInUse, ...]
    entries: tuple[Entry, ...]
    unread_messages: tuple[Message, ...]
    artifacts: tuple[Artifact, ...]
    handoff: Handoff | None
    incomplete: bool


class Overview:
    """Puts together what is kept apart."""

    def __init__(
        self,
        view: View,
        following: Following,
        working: Working,
        agents: Agents,
        tasks: Tasks,
        boards: Boards,
        inboxes: Inboxes,
        locks: Locks,
    ) -> None:
        self._view = view
        self._following = following
        self._working = working
        self._agents = agents
        self._tasks = tasks
        self._boards = boards
        self._inboxes = inboxes
        self._locks = locks

    async def get(self, task_id: str, at_least_sequence: int, cause: Cause) -> TaskShown:
        """Raises TaskUnknown, Invalid, Unavailable."""
        tenant = cause.tenant
        require_token(task_id, "task_id")
        # All of it of one moment, and none of it older than what other replicas have written.
        await self._following.reached(at_least_sequence)
        await self._working.catch_up()
        touched = self._view.recent.touched(tenant, task_id)
        if touched is None:
            raise TaskUnknown(task_id)
        entries = await _readable(self._boards.list(task_id, "", MOST_OF_EACH, "", 0, None, cause))
        unread = self._inboxes.list(task_id, "", False, MOST_OF_EACH, "", 0, None, cause)
        messages = await _readable(unread)
        artifacts = await self._tasks.list_artifacts(task_id, MOST_OF_EACH, "", cause)
        locks = self._locks.list(task_id, MOST_OF_EACH, "", cause)
        handoff = self._view.tasks[tenant, task_id].handoff if (tenant, task_id) in self._view.tasks else None
        shown = self._summary(tenant, task_id, touched)
        here = [each for each in shown.agent_ids if task_id in self._view.agents[tenant, each].tasks]
        agents = [
            await _readable(self._agents.get_agent_state(each, 0, cause)) for each in here[:MOST_AGENTS]
        ]
        lists = (entries, messages, artifacts, locks)
        return TaskShown(
            shown,
            tuple(filter(None, agents)),
            locks.items,
            entries.items if entries else (),
            messages.items if messages else (),
            artifacts.items,
            handoff.handoff if handoff else None,
            len(here) > MOST_AGENTS
            or None in agents
            or any(not each or each.next_page_token for each in lists),
        )

    async def list(self, page_size: int, page_token: str, cause: Cause) -> Page[TaskSummary]:
        """Last changed first: one that changes while pages are turned is then on the first. Raises Invalid."""
        size = page_size_of(page_size)
        found: list[TaskSummary] = []
        for task_id, touched in self._view.recent.newest(cause.tenant, page_token):
            if len(found) == size:
                return Page(tuple(found), str(found[-1].sequence))
            found.append(self._summary(cause.tenant, task_id, touched))
        return Page(tuple(found))

    def _summary(self, tenant: str, task_id: str, touched: Touched) -> TaskSummary:
        return summary(self._view, tenant, task_id, touched)


async def _readable(asked: Awaitable[T]) -> T | None:
    """None when an event of it cannot be read: what else there is of the task is shown without it."""
    try:
        return await asked
    except Unavailable as fault:
        if fault.reason != "UNREADABLE_EVENT":
            raise
        return None
