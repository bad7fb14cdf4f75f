"""Decisions that arrive together are committed together, so that a call shares one fsync with its neighbours.

One `DecisionsMade` per tenant and flush, on an aggregate of this replica's own: its id is new with every start, so
nothing has to be loaded, and new again after a failed append, whose outcome nobody knows. One publish of a tenant is in
flight at a time; who shares it: `grouping`. What draws on a budget is committed elsewhere: `budget_lane`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chassis.process import monotonic, new_id, now
from chassis.telemetry import get_logger
from kernel.events import Cause, Head, Stream
from kernel.faults import Exhausted, Fault, Unavailable
from kernel.ports import EventLog
from services.policy.adapters.grouping import MAX_EVENT_BYTES, Grouping
from services.policy.domain.actor import POLICY
from services.policy.domain.decision import DecisionRecord, DecisionsMade

_log = get_logger("policy.group_commit")


@dataclass(frozen=True, slots=True)
class _Waiting:
    decisions: Sequence[DecisionRecord]
    cause: Cause
    size_bytes: int
    committed: "asyncio.Future[int]"


class GroupCommit:
    """Implements `Record`."""

    def __init__(self, log: EventLog, monotonic: Callable[[], float] = monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._tenants: dict[str, _Tenant] = {}

    async def commit(self, decisions: Sequence[DecisionRecord], cause: Cause) -> int:
        if not decisions:
            raise ValueError("nothing to commit")
        size_bytes = sum(map(size_of, decisions))
        require_fits(size_bytes)
        tenant = self._tenants.get(cause.tenant)
        if tenant is None:
            tenant = self._tenants[cause.tenant] = _Tenant(cause.tenant, self._log, self._monotonic)
        return await tenant.commit(
            _Waiting(decisions, cause, size_bytes, asyncio.get_running_loop().create_future())
        )

    async def stop(self) -> None:
        """Wait until whatever was handed over is committed or has failed."""
        await asyncio.gather(*(tenant.idle() for tenant in self._tenants.values()))


class _Tenant:
    """The groups of one tenant, one after the other."""

    def __init__(self, tenant: str, log: EventLog, monotonic: Callable[[], float]) -> None:
        self._tenant = tenant
        self._log = log
        self._groups: Grouping[_Waiting] = Grouping(f"group commit {tenant}", self._commit, monotonic)
        self._begin()

    def _begin(self) -> None:
        self._stream = Stream(self._tenant, "policy", "decisions", new_id())
        self._head = Head()

    async def commit(self, waiting: _Waiting) -> int:
        self._groups.add(waiting)
        return await waiting.committed  # each caller has its own: one that goes away takes nobody along

    async def idle(self) -> None:
        await self._groups.idle()

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        event = DecisionsMade(tuple(decision for each in group for decision in each.decisions))
        try:
            appended = await self._log.append(
                self._stream, (event,), after=self._head, cause=self._cause(group)
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, none of them may count on being written
            self._begin()
            _fail(group, error)
            return
        self._head = Head(appended.sequence, self._head.version + 1)
        for each in group:
            if not each.committed.done():
                each.committed.set_result(appended.sequence)

    def _cause(self, group: Sequence[_Waiting]) -> Cause:
        """One caller's own cause, or, of several, what they have in common."""
        if len(group) == 1:
            cause = group[0].cause
            return Cause(
                self._tenant,
                new_id(),
                POLICY,
                cause.at,
                cause.correlation_id,
                cause.causation_id,
                cause.traceparent,
            )
        runs = {each.cause.correlation_id for each in group}
        return Cause(self._tenant, new_id(), POLICY, now(), runs.pop() if len(runs) == 1 else "")


def require_fits(size_bytes: int) -> None:
    """Raises Exhausted when decisions of so many bytes do not fit into one event."""
    if size_bytes > MAX_EVENT_BYTES:
        text = f"these decisions take about {size_bytes} bytes, an event {MAX_EVENT_BYTES}: ask for fewer at once"
        raise Exhausted("MESSAGE_TOO_LARGE", text, max_bytes=str(MAX_EVENT_BYTES))


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    if not isinstance(error, Fault):
        _log.error("group commit failed", exc_info=error)
    for each in group:
        fault = error if isinstance(error, Unavailable | Exhausted) else not_durable()
        if not each.committed.done():
            each.committed.set_exception(fault)
            each.committed.exception()  # its caller may have gone; then nobody asks


def not_durable() -> Unavailable:
    return Unavailable(
        "LOG_UNREACHABLE", "the decision could not be made durable, so there is none: try again"
    )


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
