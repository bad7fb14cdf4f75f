"""What would have been spent under another policy set: its budgets, drawn on by what it would have allowed.

Charged is what the log says was charged; what was never set aside then is charged in full. Limits of errors and limits
set by hand are not counted anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.policy.domain.action import Mode
from services.policy.domain.amounts import NOTHING, Amounts, cost_of
from services.policy.domain.closing import Closing
from services.policy.domain.counters import Counter, Key, Tally
from services.policy.domain.decision import DecisionRecord
from services.policy.domain.drawing import Applied, BudgetRefusal, Draw, applied, rules_for, window_of
from services.policy.domain.policyset_rules import Rules
from services.policy.domain.reservation import BudgetScope, Reservation
from services.policy.domain.tier import Tier


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was set aside without a decision, by an agent that was at `tier` then."""

    reservation: Reservation
    tier: Tier


class Spending:
    """The counters of one set's budgets, as the decisions go by."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tallies: dict[Key, Tally] = {}
        self._live: dict[str, tuple[Amounts, list[Tally]]] = {}
        self.shared = any(each.scope in (BudgetScope.TENANT, BudgetScope.TASK) for each in rules.budgets)
        """Whether what one agent spends is missing to others."""

    def closed(self, closings: Iterable[Closing]) -> None:
        """What reservations came to."""
        for each in closings:
            live = self._live.pop(each.reservation_id, None)
            if live is not None:
                _close(*live, each.charged)

    def set_aside(self, told: SetAside) -> None:
        """It is as it was then, if there is enough left for it; what it came to will be told."""
        it = told.reservation
        rules = rules_for(self._rules.budgets, told.tier)
        draw = Draw(
            it.reservation_id, it.agent_id, it.run_id, it.task_id, it.amounts, rules, it.at, 0
        )  # fmt: skip
        drawn_on = self._drawn_on(draw)
        if not any(tally.over(each.limits, draw.amounts) for each, tally in drawn_on):
            self._reserve(draw, [tally for _, tally in drawn_on])

    def refusal(self, record: DecisionRecord, target: str) -> BudgetRefusal | None:
        """Which budget has too little left for it; `target` is that of its action as budgets know it."""
        if not self._counts(record):
            return None
        draw = self._draw(record, target)
        for each, tally in self._drawn_on(draw):
            # Of errors, which were not counted anew, it knows nothing.
            over = tally.over(each.limits, draw.amounts)
            if over is not None:
                return BudgetRefusal.of(each, tally.window, *over)
        return None

    def spend(self, record: DecisionRecord, target: str, *, reserved: bool) -> None:
        """It was allowed; `reserved` says that the log will tell what it came to."""
        if not self._counts(record):
            return
        draw = self._draw(record, target)
        tallies = [tally for _, tally in self._drawn_on(draw)]
        self._reserve(draw, tallies)
        if not reserved:
            del self._live[draw.reservation_id]
            _close(draw.amounts, tallies, draw.amounts)

    def _reserve(self, draw: Draw, tallies: list[Tally]) -> None:
        for tally in tallies:
            tally.reserve(draw.amounts)
        self._live[draw.reservation_id] = draw.amounts, tallies

    def _counts(self, record: DecisionRecord) -> bool:
        return bool(self._rules.budgets) and record.mode is not Mode.SAFE

    def _draw(self, record: DecisionRecord, target: str) -> Draw:
        cost = cost_of(record.action.name, target, record.cost or NOTHING, self._rules.prices)
        rules = rules_for(self._rules.budgets, record.tier or Tier.T0_OBSERVER)
        return Draw(
            f"d-{record.decision_id}",
            record.agent_id,
            record.run_id,
            record.task_id,
            cost,
            rules,
            record.at,
            0,
        )

    def _drawn_on(self, draw: Draw) -> list[tuple[Applied, Tally]]:
        return [(each, self._tally(each, draw)) for each in applied({}, draw)]

    def _tally(self, each: Applied, draw: Draw) -> Tally:
        window = window_of(draw.at, each.key.window_seconds)
        tally = self._tallies.get(each.key)
        if tally is None or tally.window < window:
            tally = self._tallies[each.key] = Tally(Counter(window))
        return tally


def _close(reserved: Amounts, tallies: Iterable[Tally], charged: Amounts) -> None:
    for tally in tallies:
        tally.close(reserved, charged)
