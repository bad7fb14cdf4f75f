"""Budgets as people see them: every limit in force, with what is left of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from services.policy.domain.amounts import Unit
from services.policy.domain.budget import Budgets
from services.policy.domain.counters import Counter, Key
from services.policy.domain.drawing import HAND, window_of
from services.policy.domain.policyset_rules import BudgetRule
from services.policy.domain.reservation import BudgetScope

CountErrors = Callable[[BudgetScope, str, int], int]


@dataclass(frozen=True, slots=True)
class Line:
    """One limit of a budget, and how much of it is spent and set aside."""

    unit: Unit
    most: int
    spent: int
    reserved: int


@dataclass(frozen=True, slots=True)
class ShownBudget:
    """`window_start_time` is None when it never begins anew; `agent_id` is whose run it is."""

    budget_id: str
    scope: BudgetScope
    scope_id: str
    window_seconds: int
    window_start_time: datetime | None
    lines: tuple[Line, ...]
    agent_id: str = ""

    @property
    def token(self) -> str:
        """What it is known by in a list."""
        whose = f"/{self.agent_id}" if self.agent_id else ""
        return f"{self.scope}/{self.scope_id}/{self.budget_id}/{self.window_seconds}{whose}"


def shown_budgets(
    budgets: Budgets,
    rules: tuple[BudgetRule, ...],
    wanted: Mapping[BudgetScope, str],
    at: datetime,
    errors: CountErrors,
) -> Iterator[ShownBudget]:
    """All that are in force for `wanted` (run, agent, task), or, when that is empty, all that are in use.

    Of those of the set, only those of `rules`; in the order of scope, id and budget.
    """
    at = max(at, budgets.latest)
    found = dict(_in_force(budgets, rules, wanted))
    for key in sorted(found, key=lambda key: (list(BudgetScope).index(key.scope), *key)):
        yield shown(budgets, key, found[key], at, errors)


def shown(
    budgets: Budgets, key: Key, limits: Mapping[Unit, int], at: datetime, errors: CountErrors
) -> ShownBudget:
    """One budget as it stands at `at`, or later if later is known."""
    window = window_of(max(at, budgets.latest), key.window_seconds)
    counter = budgets.counters(key.scope).get(key)
    if counter is None or counter.window < window:
        counter = Counter(window)
    start = counter.window * key.window_seconds
    lines = []
    for unit, most in limits.items():
        spent, reserved = counter.used(unit)
        if unit is Unit.ERRORS:
            spent = errors(key.scope, key.scope_id, start)
        lines.append(Line(unit, most, spent, reserved))
    starts = datetime.fromtimestamp(start, UTC) if key.window_seconds else None
    return ShownBudget(
        key.budget_id, key.scope, key.scope_id, key.window_seconds, starts, tuple(lines), key.agent_id
    )


def _in_force(
    budgets: Budgets, rules: tuple[BudgetRule, ...], wanted: Mapping[BudgetScope, str]
) -> Iterable[tuple[Key, Mapping[Unit, int]]]:
    asked = {**wanted, BudgetScope.TENANT: ""}
    for (scope, scope_id), by_hand in budgets.hand.items():
        if not wanted or asked.get(scope) == scope_id:
            for key in _whose(budgets, Key(HAND, scope, scope_id, by_hand.window_seconds), wanted):
                yield key, by_hand.limits
    for rule in rules:
        if rule.scope in asked:
            of_set = Key(f"set.{rule.id}", rule.scope, asked[rule.scope], rule.window_seconds)
            for key in _whose(budgets, of_set, wanted):
                yield key, rule.limits
    if not wanted:
        limits_of_set = {(f"set.{rule.id}", rule.scope, rule.window_seconds): rule.limits for rule in rules}
        for counters in (budgets.fleeting, budgets.lasting):
            for key in counters.keys():  # noqa: SIM118 - no dictionary
                limits = limits_of_set.get((key.budget_id, key.scope, key.window_seconds))
                if limits is not None:
                    yield key, limits


def _whose(budgets: Budgets, key: Key, wanted: Mapping[BudgetScope, str]) -> tuple[Key, ...]:
    """Of a run the counters of whoever calls one of its own so, or of the agent that is asked about."""
    if key.scope is not BudgetScope.RUN:
        return (key,)
    agent_id = wanted.get(BudgetScope.AGENT, "")
    if agent_id:
        return (key._replace(agent_id=agent_id),)
    return budgets.fleeting.agents_of(key) or (key,)
