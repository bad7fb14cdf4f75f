"""What is there, for a watch to begin with."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TypeVar

from services.state.domain.view import View
from services.state.domain.watching import Aggregate, Interest, Shown, Whose, things

A = TypeVar("A")


def standing(view: View, interest: Interest) -> Iterator[Shown]:
    """Everything of `interest` as it is at this moment, in no particular order, however late it is asked for.

    Aggregates never change, they are replaced: to hold them is to hold the moment.
    """
    tenant, task_id = interest.tenant, interest.task_id
    held: list[Aggregate] = [
        agent for agent in _of(view.agents, tenant, interest.agent_id) if task_id in ("", *agent.tasks)
    ]
    held += _of(view.boards, tenant, task_id)
    held += _of(view.inboxes, tenant, task_id)
    held += _of(view.tasks, tenant, task_id)
    held += [
        each
        for each in _of(view.checkpoints, tenant, "")
        if not task_id or (each.newest and each.newest.task_id == task_id)
    ]
    if (revoked := view.revocations.get(tenant)) is not None:
        held.append(tuple(revoked.event))
    agents = view.agents

    def tasks_of(agent_id: str) -> tuple[str, ...]:
        agent = agents.get((tenant, agent_id))
        return agent.tasks if agent else ()

    return (
        shown
        for shown, tasks, who in chain.from_iterable(things(each, tasks_of) for each in held)
        if interest.wants(tasks, who)
    )


def belongings(view: View) -> Iterator[tuple[tuple[str, ...], Whose]]:
    """Whose everything is that may go over to another task or agent, by tenant and by its name in a watch."""
    for (tenant, name), agent in view.agents.items():
        yield (tenant, "agent", name), Whose(agent.tasks, name)
    for (tenant, name), board in view.boards.items():
        for entry in (each for each in board.entries.values() if each.value):
            yield (tenant, "entry", name, entry.section, entry.key), Whose((name,), entry.author)
    for (tenant, name), task in view.tasks.items():
        if task.handoff is not None:
            yield (tenant, "handoff", name), Whose((name,), task.handoff.handoff.previous_agent_id)
    for (tenant, name), saved in view.checkpoints.items():
        if saved.newest is not None:
            yield (tenant, "checkpoint", name), Whose((saved.newest.task_id,), saved.newest.agent_id)


def _of(aggregates: Mapping[tuple[str, str], A], tenant: str, id: str) -> Iterator[A]:
    if id:
        found = aggregates.get((tenant, id))
        return iter(() if found is None else (found,))
    return (each for (whose, _), each in aggregates.items() if whose == tenant)
