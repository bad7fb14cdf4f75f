"""Words for tests of budgets."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from services.policy.domain.amounts import NOTHING, Amounts, Unit
from services.policy.domain.budget import BudgetReserved, Budgets, close, ended_among, evolve
from services.policy.domain.closing import Close, Closing, ReservationsClosed
from services.policy.domain.drawing import Draw
from services.policy.domain.policyset_rules import BudgetRule
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.reserving import Outcome, new_among, reserve
from services.policy.domain.tier import Tier
from tests.unit.policy.words import AT


def rule(
    limits: Mapping[Unit, int],
    scope: BudgetScope = BudgetScope.AGENT,
    id: str = "daily",
    window_seconds: int = 0,
) -> BudgetRule:
    return BudgetRule(id, scope, tuple(Tier), limits, window_seconds)


def draw(
    id: str,
    *rules: BudgetRule,
    amounts: Amounts = Amounts(actions=1),  # noqa: B008
    seconds: float = 0,
    agent_id: str = "sre-1",
    run_id: str = "run-1",
    task_id: str = "task-1",
    ttl_seconds: int = 60,
    decision_id: str = "",
    by_agent: bool = False,
) -> Draw:
    at = AT + timedelta(seconds=seconds)
    return Draw(id, agent_id, run_id, task_id, amounts, rules, at, ttl_seconds, decision_id, by_agent)


def reserved(budgets: Budgets, *draws: Draw) -> tuple[Budgets, tuple[Outcome, ...]]:
    """The budgets after these were asked for together, and what became of each."""
    (outcomes,) = reserve(budgets, [draws])
    assert isinstance(outcomes, tuple)
    new = new_among(budgets, outcomes)
    return (evolve(budgets, BudgetReserved(new)) if new else budgets), outcomes


def closed(budgets: Budgets, *closes: Close) -> tuple[Budgets, Sequence[object]]:
    """The budgets after these were closed together, and how each ended."""
    outcomes = close(budgets, closes)
    ended: tuple[Closing, ...] = ended_among(budgets, outcomes)
    return (evolve(budgets, ReservationsClosed(ended)) if ended else budgets), outcomes


def settle(id: str, spent: Amounts | None = NOTHING, seconds: float = 1, agent_id: str = "") -> Close:
    return Close(id, spent, "service:x", AT + timedelta(seconds=seconds), agent_id)
