"""Decisions that arrive together are committed together, so that a call shares one fsync with its neighbours.

One `DecisionsMade` per tenant and flush, on an aggregate of this replica's own: its id is new with every start, so
nothing has to be loaded, and new again after a failed append, whose outcome nobody knows. One publish of a tenant is in
flight at a time; who shares it: `grouping`. What draws on a budget is committed elsewhere: `budget_lane`.
"""

import asyncio
from collections.abc import Sequence

from chassis.process import new_id
from kernel.events import Cause, Head, Stream
from kernel.ports import EventLog
from services.policy.adapters.grouping import Grouping, Waiting, common_cause, fail, require_fits
from services.policy.domain.decision import DecisionRecord, DecisionsMade


class GroupCommit:
    """Implements `Record`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._tenants: dict[str, _Tenant] = {}

    async def commit(self, decisions: Sequence[DecisionRecord], cause: Cause) -> int:
        if not decisions:
            raise ValueError("nothing to commit")
        size_bytes = sum(map(size_of, decisions))
        require_fits(size_bytes)
        tenant = self._tenants.get(cause.tenant)
        if tenant is None:
            tenant = self._tenants[cause.tenant] = _Tenant(cause.tenant, self._log)
        return await tenant.groups.add(decisions, cause, size_bytes)

    async def stop(self) -> None:
        """Wait until whatever was handed over is committed or has failed."""
        await asyncio.gather(*(tenant.groups.idle() for tenant in self._tenants.values()))


class _Tenant:
    """The groups of one tenant, one after the other."""

    def __init__(self, tenant: str, log: EventLog) -> None:
        self._tenant = tenant
        self._log = log
        self.groups: Grouping[DecisionRecord, int] = Grouping(f"group commit {tenant}", self._commit)
        self._begin()

    def _begin(self) -> None:
        self._stream = Stream(self._tenant, "policy", "decisions", new_id())
        self._head = Head()

    async def _commit(self, group: Sequence[Waiting[DecisionRecord, int]]) -> None:
        event = DecisionsMade(tuple(decision for each in group for decision in each.asked))
        try:
            cause = common_cause(self._tenant, group)
            appended = await self._log.append(self._stream, (event,), after=self._head, cause=cause)
        except Exception as error:  # noqa: BLE001 - whatever it was, none of them may count on being written
            self._begin()
            fail(group, error)
            return
        self._head = Head(appended.sequence, self._head.version + 1)
        for each in group:
            if not each.answered.done():
                each.answered.set_result(appended.sequence)


def size_of(decision: DecisionRecord) -> int:
    """How many bytes it takes at most: its texts, and what stands around them."""
    action, cost = decision.action, decision.cost
    lists = (*decision.labels, *decision.steps_done, *(cost.hosts if cost else ()))
    texts = "".join(
        (
            decision.decision_id, decision.agent_id, decision.run_id, decision.task_id, decision.rule, decision.reason,
            decision.explanation, decision.policy_version, decision.action_digest, decision.approval_id,
            decision.agent_version, action.action_id, action.name, action.target, action.environment,
            *action.parameters, *action.parameters.values(), *lists,
        )
    )  # fmt: skip
    around = 250 + 12 * len(action.parameters) + 5 * len(lists)
    return around + (len(texts) if texts.isascii() else 4 * len(texts))
