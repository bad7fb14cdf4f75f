"""What policy announces of budgets, in one line each."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from provost.policy.v1 import events_pb2 as policy
from services.ledger.wire.words import cut, listed, word


def _budget_set(event: policy.BudgetSet, _: str) -> str:
    whose = f"{word(event, 'scope').lower()} {event.scope_id}".strip()
    why = f": {cut(event.why)}" if event.why else ""
    if not event.limits:
        return f"{event.by} took back the budget of {whose} that was set by hand{why}"
    limits = listed(f"{each.most} {word(each, 'unit')}" for each in event.limits)
    anew = f", anew every {event.window_seconds} s" if event.window_seconds else ""
    return f"{event.by} allowed {whose} {limits}{anew}{why}"


def _budget_reserved(event: policy.BudgetReserved, run_id: str) -> str:
    wanted = [each for each in event.reservations if run_id in ("", each.run_id)]
    return listed(
        f"set aside for {each.agent_id}: {amounts(each.amounts)}" for each in wanted or event.reservations
    )


def _reservations_closed(event: policy.ReservationsClosed, _: str) -> str:
    return listed(
        f"reservation {each.reservation_id} {word(each, 'end')}, charged {amounts(each.charged)}"
        for each in event.closings
    )


def amounts(told: Any) -> str:
    """As `1 action, 500 tokens`; hosts by their number alone, for they may be somebody's."""
    parts = (
        (told.actions, "action"),
        (told.tokens, "token"),
        (told.money_micros, "millionth"),
        (len(told.hosts), "host"),
    )
    return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for n, name in parts if n) or "nothing"


BUDGETS: dict[type[Message], Callable[[Any, str], str]] = {
    policy.BudgetSet: _budget_set,
    policy.BudgetReserved: _budget_reserved,
    policy.ReservationsClosed: _reservations_closed,
}
