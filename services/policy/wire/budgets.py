"""Budgets, between policy's domain and its protos."""

from typing import Final

from chassis.eventlog.codec import Codec
from chassis.mapping import Mapper
from kernel.faults import Invalid
from provost.policy.v1 import events_pb2, policy_pb2
from services.policy.domain.amounts import Amounts, Unit, checked
from services.policy.domain.budget import BudgetReserved
from services.policy.domain.closing import ReservationsClosed
from services.policy.domain.limits import BudgetSet, Limit, checked_limits
from services.policy.domain.reservation import BudgetScope, Reservation
from services.policy.domain.shown_budgets import ShownBudget
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded, stamp

MOST_SHOWN = 2**63 - 1

_UNITS: Final = {policy_pb2.Unit.Value(f"UNIT_{unit}"): unit for unit in Unit}
_UNIT_NUMBERS: Final = {unit: number for number, unit in _UNITS.items()}
_SCOPES: Final = {policy_pb2.BudgetScope.Value(f"BUDGET_SCOPE_{scope}"): scope for scope in BudgetScope}
_SCOPE_NUMBERS: Final = {scope: number for number, scope in _SCOPES.items()}

_RESERVATION: Final[Mapper[Reservation, policy_pb2.Reservation]] = Mapper(Reservation, policy_pb2.Reservation)
reservation_to_wire = _RESERVATION.to_message

BUDGET_EVENTS: Final = {
    BudgetSet: events_pb2.BudgetSet,
    BudgetReserved: events_pb2.BudgetReserved,
    ReservationsClosed: events_pb2.ReservationsClosed,
}


def _set_aside(event: events_pb2.DecisionsMade) -> BudgetReserved:
    return BudgetReserved(tuple(map(_RESERVATION.to_record, event.reservations)))


BUDGET_CODEC: Final = Codec(BUDGET_EVENTS, upcasters={events_pb2.DecisionsMade: _set_aside})
"""Reads of decisions only what was set aside for them: that is all the budgets hold of them."""


def amounts_from_wire(amounts: policy_pb2.Amounts, field: str) -> Amounts:
    """Raises AmountInvalid: negative, too large, or errors, which are counted and never set aside."""
    hosts = tuple(bounded(host, f"{field}.hosts", MAX_TEXT, least=0) for host in amounts.hosts)
    return checked(
        Amounts(amounts.actions, amounts.tokens, amounts.money_micros, amounts.errors, hosts), field
    )


def limits_from_wire(request: policy_pb2.SetBudgetRequest) -> tuple[Limit, ...]:
    """Raises Invalid: no such unit, or AmountInvalid."""
    limits = []
    for limit in request.limits:
        unit = _UNITS.get(limit.unit)
        if unit is None:
            raise Invalid(
                "FIELD_INVALID", f"limits.unit must be one of {', '.join(Unit)}", field="limits.unit"
            )
        limits.append(Limit(unit, limit.most))
    return checked_limits(tuple(limits), request.window_seconds)


def scope_from_wire(scope: policy_pb2.BudgetScope.ValueType, scope_id: str) -> tuple[BudgetScope, str]:
    """Raises Invalid: no such scope, or an id too many or too few."""
    known = _SCOPES.get(scope)
    if known is None:
        raise Invalid("FIELD_INVALID", f"scope must be one of {', '.join(BudgetScope)}", field="scope")
    if known is BudgetScope.TENANT:
        if scope_id:
            text = "scope_id must be empty for the tenant's budget: it is the caller's own tenant"
            raise Invalid("FIELD_INVALID", text, field="scope_id")
        return known, ""
    return known, bounded(scope_id, "scope_id", MAX_ID)


def budget_to_wire(shown: ShownBudget) -> policy_pb2.Budget:
    budget = policy_pb2.Budget(
        budget_id=shown.budget_id,
        scope=_SCOPE_NUMBERS[shown.scope],
        scope_id=shown.scope_id,
        window_seconds=shown.window_seconds,
        agent_id=shown.agent_id,
        lines=[
            policy_pb2.Budget.Line(
                unit=_UNIT_NUMBERS[line.unit],
                most=line.most,
                spent=min(line.spent, MOST_SHOWN),
                reserved=min(line.reserved, MOST_SHOWN),
            )
            for line in shown.lines
        ],
    )
    if shown.window_start_time is not None:
        budget.window_start_time.CopyFrom(stamp(shown.window_start_time))
    return budget
