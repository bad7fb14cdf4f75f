"""Budgets: set, shown, set aside and settled."""

from chassis.process import now
from chassis.rpc.cause import Context, cause_of
from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.domain.amounts import NOTHING
from services.policy.domain.reservation import BudgetScope
from services.policy.handlers import Policy
from services.policy.rpc.callers import admitted
from services.policy.rpc.door import Door
from services.policy.wire.budgets import (
    amounts_from_wire,
    budget_to_wire,
    limits_from_wire,
    reservation_to_wire,
    scope_from_wire,
)
from services.policy.wire.decisions import context_from_wire
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded


class BudgetsRpc(PolicyServiceServicer):
    """What may be spent."""

    _policy: Policy
    _door: Door

    async def SetBudget(self, request: pb.SetBudgetRequest, context: Context) -> pb.SetBudgetResponse:
        admitted(context, "SetBudget")
        scope, scope_id = scope_from_wire(request.scope, request.scope_id)
        budget, sequence = await self._policy.limits.set(
            scope,
            scope_id,
            limits_from_wire(request),
            request.window_seconds,
            bounded(request.why, "why", MAX_TEXT, least=0),
            cause_of(context, request.request_id),
        )
        return pb.SetBudgetResponse(budget=budget_to_wire(budget), sequence=sequence)

    async def ListBudgets(self, request: pb.ListBudgetsRequest, context: Context) -> pb.ListBudgetsResponse:
        tenant = admitted(context, "ListBudgets").tenant
        named = {
            BudgetScope.RUN: bounded(request.run_id, "run_id", MAX_ID, least=0),
            BudgetScope.AGENT: bounded(request.agent_id, "agent_id", MAX_ID, least=0),
            BudgetScope.TASK: bounded(request.task_id, "task_id", MAX_ID, least=0),
        }
        page = await self._policy.limits.list(
            tenant,
            {scope: scope_id for scope, scope_id in named.items() if scope_id},
            request.page_size,
            request.page_token,
            request.at_least_sequence,
            now(),
        )
        budgets = map(budget_to_wire, page.items)
        return pb.ListBudgetsResponse(budgets=budgets, next_page_token=page.next_token)

    async def ReserveBudget(
        self, request: pb.ReserveBudgetRequest, context: Context
    ) -> pb.ReserveBudgetResponse:
        caller = admitted(context, "ReserveBudget")
        async with self._door.turn():
            reservation, sequence = await self._policy.spending.reserve(
                context_from_wire(request.context),
                amounts_from_wire(request.amounts, "amounts"),
                request.ttl_seconds,
                request.session_token,
                cause_of(context, request.request_id),
                trusted="service" in caller.roles,
            )
        made = None if reservation is None else reservation_to_wire(reservation)
        return pb.ReserveBudgetResponse(reservation=made, sequence=sequence)

    async def SettleReservation(
        self, request: pb.SettleReservationRequest, context: Context
    ) -> pb.SettleReservationResponse:
        caller = admitted(context, "SettleReservation")
        spent = amounts_from_wire(request.spent, "spent")
        if request.whole and spent != NOTHING:
            raise Invalid("FIELD_INVALID", "spent must be empty when whole is set", field="spent")
        async with self._door.turn():
            end, sequence = await self._policy.spending.settle(
                bounded(request.reservation_id, "reservation_id", MAX_ID),
                None if request.whole else spent,
                request.session_token,
                cause_of(context, request.request_id),
                trusted="service" in caller.roles,
            )
        return pb.SettleReservationResponse(
            end=pb.ReservationEnd.Value(f"RESERVATION_END_{end}"), sequence=sequence
        )
