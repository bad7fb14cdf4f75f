"""What happened: the ledger's lists and its proof."""

from services.gateway.domain.records import (
    ActionFilter,
    AgentAction,
    AgentMetrics,
    Event,
    EventFilter,
    Listing,
    Page,
    TreeHead,
    Verification,
)
from services.gateway.web.auth import Doors, Who
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.routes.values import Time, Word


async def list_events(
    gateway: Doors,
    caller: Who,
    from_time: Time = None,
    to_time: Time = None,
    context: Word = "",
    aggregate: Word = "",
    aggregate_id: Word = "",
    event_type: Word = "",
    correlation_id: Word = "",
    actor: Word = "",
    agent_id: Word = "",
    run_id: Word = "",
    task_id: Word = "",
    action: Word = "",
    decision: Word = "",
    oldest_first: bool = False,
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[Event]:
    """Events of this tenant, newest first; of an agent, a run or a task when they name it in any way.

    A page may hold fewer events than asked for, even none, and still not be the last: go on with its token.
    """
    events = EventFilter(
        from_time,
        to_time,
        context,
        aggregate,
        aggregate_id,
        event_type,
        correlation_id,
        actor,
        agent_id,
        run_id,
        task_id,
        action,
        decision,
    )
    return await gateway.ledger.events(events, oldest_first, Page(page_size, page_token), caller)


async def list_agent_actions(
    gateway: Doors,
    caller: Who,
    from_time: Time = None,
    to_time: Time = None,
    agent_id: Word = "",
    task_id: Word = "",
    run_id: Word = "",
    action: Word = "",
    decision: Word = "",
    correlation_id: Word = "",
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[AgentAction]:
    """What agents did or tried, one row for each decision; `correlation_id` is the run, as `run_id`."""
    actions = ActionFilter(from_time, to_time, agent_id, task_id, run_id, action, decision, correlation_id)
    return await gateway.ledger.agent_actions(actions, Page(page_size, page_token), caller)


async def list_agent_metrics(
    gateway: Doors,
    caller: Who,
    agent_id: Word = "",
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[AgentMetrics]:
    """Each agent's record: runs, and how many kept to the rules."""
    return await gateway.ledger.agent_metrics(agent_id, Page(page_size, page_token), caller)


async def ledger_head(gateway: Doors, caller: Who) -> TreeHead:
    """The newest signed tree head."""
    return await gateway.ledger.tree_head(caller)


async def verify_ledger(gateway: Doors, caller: Who, against_log: bool = True) -> Verification:
    """Recompute the ledger, against the event log too unless told not to, and say what does not hold."""
    return await gateway.ledger.verify(against_log, caller)
