"""State behind the gateway's door: one task with somebody stuck in it; what was asked is kept."""

from dataclasses import dataclass, field
from typing import Any

from kernel.faults import NotFound
from services.gateway.domain.callers import Caller
from services.gateway.domain.records import Page
from services.gateway.domain.sharing import (
    Acknowledge,
    AgentNow,
    BoardEntry,
    Held,
    HeldLock,
    IsStuck,
    Message,
    MessageFilter,
    Read,
    Released,
    Spent,
    StateListing,
    Task,
    TaskNow,
)

TASK = Task("task-1", ("sre-1",), "sre-1", 1, 1, 0, None, 7)
LOCK = HeldLock("sre-1", "task-1", "run-1", 17, None, ("run-2",))
STUCK = AgentNow(
    "sre-1",
    "task-1",
    "look",
    "run-1",
    "EXECUTE",
    "",
    Spent(4, 10, 2, 3, 0, 1),
    Held("run-1", 17, None),
    None,
    None,
    IsStuck("REPETITION", "the same again", None, ()),
    (),
    7,
)
ENTRY = BoardEntry("problem", "cause", {"disk": 1}, "sre-1", 3, None, (), 5)
MESSAGE = Message("m-1", "QUESTION", "sre-1", "", ("sre-2",), "why?", "", None, (), 6)


@dataclass
class FakeState:
    asked: list[Any] = field(default_factory=list)
    stale_seconds: int | None = None

    async def tasks(self, page: Page, caller: Caller) -> StateListing[Task]:
        self.asked.append(page)
        return StateListing((TASK,), "more", self.stale_seconds)

    async def task(self, task_id: str, caller: Caller) -> TaskNow:
        if task_id != "task-1":
            raise NotFound("TASK_UNKNOWN", f"nothing is known of task {task_id}")
        return TaskNow(TASK, (STUCK,), (LOCK,), (ENTRY,), (MESSAGE,), (), None, False, self.stale_seconds)

    async def board(self, task_id: str, section: str, page: Page, caller: Caller) -> StateListing[BoardEntry]:
        self.asked.append((task_id, section, page))
        return StateListing((ENTRY,), "")

    async def messages(self, wanted: MessageFilter, page: Page, caller: Caller) -> StateListing[Message]:
        self.asked.append((wanted, page))
        return StateListing((MESSAGE,), "")

    async def locks(self, task_id: str, page: Page, caller: Caller) -> StateListing[HeldLock]:
        self.asked.append((task_id, page))
        return StateListing((LOCK,), "")

    async def stuck(self, task_id: str, page: Page, caller: Caller) -> StateListing[AgentNow]:
        self.asked.append((task_id, page))
        return StateListing((STUCK,), "")

    async def release_lock(self, request_id: str, agent_id: str, reason: str, caller: Caller) -> Released:
        self.asked.append((request_id, agent_id, reason, caller.actor))
        return Released(agent_id, 18)

    async def acknowledge(self, request_id: str, wanted: Acknowledge, caller: Caller) -> Read:
        self.asked.append((request_id, wanted, caller.actor))
        return Read(wanted.task_id, wanted.agent_id, 19)
