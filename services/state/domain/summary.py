"""A task in a few numbers."""

from dataclasses import dataclass
from datetime import datetime

from services.state.domain.recent import Touched
from services.state.domain.view import View


@dataclass(frozen=True, slots=True)
class TaskSummary:
    task_id: str
    agent_ids: tuple[str, ...]
    active_agent_id: str
    entries: int
    unread_messages: int
    artifacts: int
    changed_at: datetime
    sequence: int


def summary(view: View, tenant: str, task_id: str, touched: Touched) -> TaskSummary:
    """The task as the view has it."""
    key = (tenant, task_id)
    crew, board = view.crews.get(key), view.boards.get(key)
    inbox, task = view.inboxes.get(key), view.tasks.get(key)
    return TaskSummary(
        task_id,
        tuple(sorted(crew.agents)) if crew else (),
        crew.lead if crew else "",
        board.n_entries if board else 0,
        len(inbox.waiting) if inbox else 0,
        len(task.artifacts) if task else 0,
        touched.at,
        touched.sequence,
    )
