"""What would have been spent under another policy set: its budgets, drawn on by what it would have allowed.

Charged is what the log says was charged; what was never set aside then is charged in full. Limits of errors and limits
set by hand are not counted anew.
"""

from collections.abc import Iterable

from services.policy.domain.action import Mode
from services.policy.domain.amounts import NOTHING, Amounts, cost_of
from services.policy.domain.closing import Closing
from services.policy.domain.counters import Counter, Key, Tally
from services.policy.domain.decision import DecisionRecord
from services.policy.domain.drawing import Applied, BudgetRefusal, Draw, applied, rules_for, window_of
from services.policy.domain.policyset_rules import Rules
from services.policy.domain.tier import Tier


class Spending:
    """The counters of one set's budgets, as the decisions go by."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tallies: dict[Key, Tally] = {}
        self._live: dict[str, tuple[Amounts, list[Tally]]] = {}
        self._closed: dict[str, Amounts] = {}

    def closed(self, closings: Iterable[Closing]) -> None:
        """What reservations came to. They may be told before the decisions that were read together with them."""
        for each in closings:
            live = self._live.pop(each.reservation_id, None)
            if live is None:
                self._closed[each.reservation_id] = each.charged
            else:
                _close(*live, each.charged)

    def settled(self) -> None:
        """All that was read together has been decided: no closing that was told waits for its decision any more."""
        self._closed.clear()

    def refusal(self, record: DecisionRecord) -> BudgetRefusal | None:
        """Which budget has too little left for it."""
        if not self._counts(record):
            return None
        draw = self._draw(record)
        for each, tally in self._drawn_on(draw):
            # Of errors, which were not counted anew, it knows nothing.
            over = tally.over(each.limits, draw.amounts)
            if over is not None:
                return BudgetRefusal.of(each, tally.window, *over)
        return None

    def spend(self, record: DecisionRecord, *, reserved: bool) -> None:
        """It was allowed; `reserved` says that the log will tell what it came to."""
        if not self._counts(record):
            return
        draw = self._draw(record)
        tallies = [tally for _, tally in self._drawn_on(draw)]
        for tally in tallies:
            tally.reserve(draw.amounts)
        if not reserved:
            _close(draw.amounts, tallies, draw.amounts)
        elif draw.reservation_id in self._closed:
            _close(draw.amounts, tallies, self._closed.pop(draw.reservation_id))
        else:
            self._live[draw.reservation_id] = draw.amounts, tallies

    def _counts(self, record: DecisionRecord) -> bool:
        return bool(self._rules.budgets) and record.mode is not Mode.SAFE

    def _draw(self, record: DecisionRecord) -> Draw:
        action = record.action
        cost = cost_of(action.name, action.target, record.cost or NOTHING, self._rules.prices)
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
