"""What an action draws on budgets: nothing in a safe run, or where nobody has set one."""

from datetime import datetime

from kernel.ports import Seal
from services.policy.domain.action import Action, Mode
from services.policy.domain.amounts import NOTHING, cost_of
from services.policy.domain.drawing import Applied, BudgetRefusal, Draw, applied, rules_for
from services.policy.domain.reserving import refusal
from services.policy.handlers.ask import Ask, Facts
from services.policy.handlers.sealing import sealed_cost
from services.policy.ports.recording import Budgeting
from services.policy.ports.told import RecordedErrors

TTL_SECONDS = 300


class Drawing:
    def __init__(self, budgets: Budgeting, errors: RecordedErrors) -> None:
        self._budgets = budgets
        self._errors = errors

    def any(self, tenant: str, ask: Ask, facts: Facts) -> bool:
        """Whether there is a budget at all that this could count against."""
        if ask.context.mode is Mode.SAFE or facts.policy is None:
            return False
        return bool(facts.policy.rules.budgets or self._budgets.current(tenant).hand)

    def draw(
        self,
        tenant: str,
        ask: Ask,
        facts: Facts,
        action: Action,
        decision_id: str,
        at: datetime,
        seal: Seal | None,
    ) -> Draw | None:
        """What is set aside if the answer is yes; None if no budget counts it."""
        assert facts.policy is not None
        context, rules = ask.context, facts.policy.rules
        cost = cost_of(action.name, action.target, ask.costs.get(action.action_id, NOTHING), rules.prices)
        draw = Draw(
            f"d-{decision_id}",
            context.agent_id,
            context.run_id,
            context.task_id,
            sealed_cost(cost, seal),
            rules_for(rules.budgets, facts.agent.tier),
            at,
            TTL_SECONDS,
            decision_id,
        )
        return draw if applied(self._budgets.current(tenant).hand, draw) else None

    def refusal(self, tenant: str, draw: Draw) -> BudgetRefusal | None:
        """Which budget refuses it as far as is known here; whether it really does shows when it is drawn."""

        def errors(budget: Applied, since_seconds: int) -> int:
            return self._errors.count(tenant, budget.key.scope, budget.key.scope_id, since_seconds)

        return refusal(self._budgets.current(tenant), draw, errors)
