"""Limits as use cases: what people set by hand, and what they see of every budget."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from kernel.events import Cause
from kernel.ports import Following
from services.policy.domain.counters import Key
from services.policy.domain.drawing import HAND, rules_for
from services.policy.domain.limits import BudgetSet, Limit, limits_of
from services.policy.domain.policyset_rules import BudgetRule
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.shown_budgets import ShownBudget, shown, shown_budgets
from services.policy.handlers.known import found_agent, known_agent
from services.policy.handlers.pages import Page, after, page_of, size_of
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Held, Means


class Limits:
    def __init__(self, held: Held, sets: PolicySets, following: Following, means: Means) -> None:
        self._held = held
        self._agents = held.agents
        self._errors = held.errors
        self._sets = sets
        self._following = following
        self._budgets = means.budgets

    async def set(
        self,
        scope: BudgetScope,
        scope_id: str,
        limits: tuple[Limit, ...],
        window_seconds: int,
        why: str,
        cause: Cause,
    ) -> tuple[ShownBudget, int]:
        """Set limits by hand, beside those of the policy set: the tightest holds. None takes them back.

        Raises:
            AgentUnknown: a slip of the pen would limit nobody.
        """
        if scope is BudgetScope.AGENT and limits:
            await found_agent(self._held, self._following, cause.tenant, scope_id)
        wanted = BudgetSet(scope, scope_id, limits, window_seconds, cause.actor, why, cause.at)
        asked = (scope, scope_id, str(window_seconds), *(f"{each.unit}={each.most}" for each in limits))
        sequence = await self._budgets.set(wanted, cause.about(*asked))
        key = Key(HAND, scope, scope_id, window_seconds)
        budgets = self._budgets.current(cause.tenant)
        count = partial(self._errors.count, cause.tenant)
        key = next(iter(budgets.fleeting.agents_of(key)), key) if scope is BudgetScope.RUN else key
        return shown(budgets, key, limits_of(limits), cause.at, count), sequence

    async def list(
        self,
        tenant: str,
        wanted: Mapping[BudgetScope, str],
        size: int,
        token: str,
        at_least_sequence: int,
        at: datetime,
    ) -> Page[ShownBudget]:
        """Those in force for a run, agent or task, or, when none is named, all that are in use."""
        if at_least_sequence > self._following.position:
            await self._following.reached(at_least_sequence)
        budgets = self._budgets.current(tenant)
        rules = self._rules(tenant, wanted.get(BudgetScope.AGENT, ""))
        count = partial(self._errors.count, tenant)
        found = {each.token: each for each in shown_budgets(budgets, rules, wanted, at, count)}
        return page_of(((each, found[each]) for each in after(found, token)), size_of(size))

    def _rules(self, tenant: str, agent_id: str) -> tuple[BudgetRule, ...]:
        rules = self._sets.required(tenant).rules.budgets
        if not agent_id:
            return rules
        return rules_for(rules, known_agent(self._agents, tenant, agent_id).tier)
