"""Reserving and settling as use cases, and what becomes of what nobody settles. What decisions draw: `drawing`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from kernel.events import Cause, derived_hex, told_apart
from kernel.faults import Fault, Invalid, Unavailable
from kernel.ports import Following
from services.policy.domain.action import RunContext
from services.policy.domain.actor import POLICY
from services.policy.domain.agent import Agent
from services.policy.domain.amounts import NOTHING, Amounts, shape_of
from services.policy.domain.budget_faults import BudgetIsSpent, NoPacketForTask
from services.policy.domain.closing import Close, Closing
from services.policy.domain.drawing import BudgetRefusal, Draw, rules_for
from services.policy.domain.faults import AgentIsRevoked, AgentIsSuspended
from services.policy.domain.reservation import Reservation, ReservationEnd
from services.policy.handlers.bearing import token_refusal
from services.policy.handlers.fresh import require_fresh
from services.policy.handlers.known import found_agent
from services.policy.handlers.policysets import PolicySets
from services.policy.handlers.sealing import sealed_cost
from services.policy.ports import Held, Means

DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS = 300, 86_400
LATE = timedelta(seconds=2)
"""How long after its time a reservation is closed: the clocks of replicas and callers differ a little."""
AT_ONCE = 500


class Spending:
    def __init__(self, held: Held, sets: PolicySets, following: Following, means: Means) -> None:
        self._held = held
        self._agents = held.agents
        self._packets = held.packets
        self._sets = sets
        self._following = following
        self._budgets = means.budgets
        self._signer = means.signer
        self._keys = means.keys

    async def reserve(
        self,
        context: RunContext,
        amounts: Amounts,
        ttl_seconds: int,
        session_token: str,
        cause: Cause,
        *,
        trusted: bool,
    ) -> tuple[Reservation | None, int]:
        """Set `amounts` aside without a decision; None when no budget counts any of it. Sent again it is the same one.

        Raises:
            BudgetIsSpent, AgentUnknown, AgentIsRevoked, AgentIsSuspended, DeciderStale, Unauthenticated
            NoPacketForTask: who is not `trusted` reserves for the task that the agent was given, and for no other.
            TooManyReservations, TooManyCounters, ClockWrong
        """
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            text = f"ttl_seconds must be 0 to {MAX_TTL_SECONDS}, not {ttl_seconds}"
            raise Invalid("FIELD_INVALID", text, field="ttl_seconds")
        if amounts == NOTHING:
            raise Invalid("FIELD_MISSING", "amounts must have something in them", field="amounts")
        tenant, agent_id = cause.tenant, context.agent_id
        if context.at_least_sequence > self._following.position:
            await self._following.reached(context.at_least_sequence)
        require_fresh(self._following)
        refused = token_refusal(self._signer, session_token, tenant, agent_id, cause.at, trusted=trusted)
        if refused is not None:
            raise refused
        agent = _able(await found_agent(self._held, self._following, tenant, agent_id))
        if not trusted:
            # Else it would spend the budgets of others' tasks, and make up tasks that crowd out those that are spent.
            packet = self._packets.current(tenant, agent_id)
            if packet is None or packet.task_id != context.task_id:
                raise NoPacketForTask(agent_id, context.task_id)
        policy = self._sets.required(tenant)
        if context.subject_key and amounts.hosts:
            amounts = sealed_cost(amounts, await self._keys.of_key(tenant, context.subject_key))
        # Other amounts under the same request id are another request: what was set aside for that is not enough here.
        asked = (context.run_id, context.task_id, cause.request_id, shape_of(amounts))
        kind = "reservation" if trusted else "reservation of its own"
        parts = (tenant, kind, agent_id, *asked)
        draw = Draw(
            derived_hex(told_apart(*parts)),
            agent_id,
            context.run_id,
            context.task_id,
            amounts,
            rules_for(policy.rules.budgets, agent.tier),
            cause.at,
            ttl_seconds or DEFAULT_TTL_SECONDS,
            by_agent=not trusted,
        )
        outcome, sequence = await self._budgets.reserve(draw, cause)
        if self._agents.current(tenant, agent_id).fell_with:
            # What is set aside for it may have been closed before this was there.
            await self.close_of(agent_id, replace(cause, actor=POLICY))
            raise AgentIsRevoked(agent_id)
        if isinstance(outcome, BudgetRefusal):
            raise BudgetIsSpent(outcome.text, outcome.facts)
        return outcome, sequence

    async def settle(
        self, reservation_id: str, spent: Amounts | None, session_token: str, cause: Cause, *, trusted: bool
    ) -> tuple[ReservationEnd, int]:
        """Say what was spent of it; None: all of it; nothing: it is given back. Sent again it ends as it has ended.

        Who is not `trusted` settles what he has reserved himself: else an agent would give back what its runs spend.

        Raises:
            AmountInvalid, ReservationUnknown, ReservationClosed, NotTheAgentsToSettle, Unauthenticated
        """
        refused = token_refusal(self._signer, session_token, cause.tenant, "", cause.at, trusted=trusted)
        if refused is not None:
            raise refused
        agent_id = self._signer.bearer_of(session_token, cause.at).agent_id if session_token else ""
        whole = spent is None
        close = Close(reservation_id, spent, cause.actor, cause.at, agent_id, whole, not trusted)
        (outcome,), sequence = await self._budgets.close((close,), cause)
        if isinstance(outcome, Fault):
            raise outcome
        return outcome.end, sequence

    async def close_of(self, agent_id: str, cause: Cause) -> int:
        """Close all that is set aside for an agent, who has no power any more; how many there were.

        Nobody can say what was done of it: all of it counts.
        """
        return await self._close(self._budgets.current(cause.tenant).of_agent(agent_id), cause)

    async def expire(self, at: datetime) -> int:
        """Close what nobody has settled in time: all of it counts. Any replica may; how many it closed."""
        closed = 0
        for tenant in self._budgets.tenants():
            try:
                late = self._budgets.current(tenant).expired(at - LATE)
            except Unavailable:
                continue  # its budgets cannot be read, so nothing of it is allowed either
            closed += await self._close(late, Cause(tenant, "", POLICY, at))
        return closed

    async def _close(self, reservations: Sequence[Reservation], cause: Cause) -> int:
        """Close them, charged whole, in events that have room for them."""
        closed, together, hosts = 0, list[Close](), 0
        for n, each in enumerate(reservations, 1):
            together.append(Close(each.reservation_id, None, POLICY, cause.at))
            hosts += len(each.amounts.hosts)
            if len(together) == AT_ONCE or hosts > AT_ONCE or n == len(reservations):
                outcomes, _ = await self._budgets.close(together, cause)
                closed += sum(isinstance(outcome, Closing) for outcome in outcomes)
                together, hosts = [], 0
        return closed


def _able(agent: Agent) -> Agent:
    if agent.fell_with:
        raise AgentIsRevoked(agent.agent_id)
    if agent.suspended is not None:
        raise AgentIsSuspended(agent.agent_id)
    return agent
