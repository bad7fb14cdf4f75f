"""Drawing on budgets: what is asked for, which limits apply to it, and how a budget says no."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.policy.domain.amounts import Amounts, Unit
from services.policy.domain.counters import Key
from services.policy.domain.policyset_rules import BudgetRule
from services.policy.domain.quoted import shown
from services.policy.domain.reservation import BudgetScope, Charge, Reservation
from services.policy.domain.tier import Tier

HAND = "hand"


@dataclass(frozen=True, slots=True)
class HandSet:
    """Limits that somebody has set for one agent, run or task, or for the tenant."""

    limits: Mapping[Unit, int]
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Draw:
    """What is to be set aside, for whom, and the rules of the policy set that apply to that agent's tier.

    `reservation_id` follows from the request, so that the same request sets nothing aside twice.
    """

    reservation_id: str
    agent_id: str
    run_id: str
    task_id: str
    amounts: Amounts
    rules: tuple[BudgetRule, ...]
    at: datetime
    ttl_seconds: int
    decision_id: str = ""
    by_agent: bool = False

    def scope_id(self, scope: BudgetScope) -> str:
        """Whose budget of that scope it counts against."""
        match scope:
            case BudgetScope.RUN:
                return self.run_id
            case BudgetScope.AGENT:
                return self.agent_id
            case BudgetScope.TASK:
                return self.task_id
            case BudgetScope.TENANT:
                return ""

    def reservation(self, amounts: Amounts, charges: tuple[Charge, ...]) -> Reservation:
        return Reservation(
            self.reservation_id,
            self.agent_id,
            self.run_id,
            self.task_id,
            amounts,
            charges,
            self.decision_id,
            self.at,
            self.at + timedelta(seconds=self.ttl_seconds),
            self.by_agent,
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """One budget that a draw counts against, and what it allows."""

    key: Key
    limits: Mapping[Unit, int]

    def counts(self, amounts: Amounts) -> bool:
        """Whether it limits anything of which there is some in `amounts`."""
        return any(amounts.of(unit) for unit in self.limits if unit is not Unit.ERRORS)


@dataclass(frozen=True, slots=True)
class BudgetRefusal:
    """Which budget says no, and what it knows. `renew_time` is None when it never begins anew."""

    budget_id: str
    scope: BudgetScope
    scope_id: str
    unit: Unit
    most: int
    spent: int
    reserved: int
    asked: int
    renew_time: datetime | None

    @classmethod
    def of(
        cls, budget: Applied, window: int, unit: Unit, most: int, spent: int, reserved: int, asked: int
    ) -> "BudgetRefusal":
        key = budget.key
        renews = None
        if key.window_seconds:
            renews = datetime.fromtimestamp((window + 1) * key.window_seconds, UTC)
        return cls(key.budget_id, key.scope, key.scope_id, unit, most, spent, reserved, asked, renews)

    @property
    def text(self) -> str:
        """One sentence: which budget, what is left of it, and what would have to change."""
        whose = (
            "the tenant"
            if self.scope is BudgetScope.TENANT
            else f"{self.scope.lower()} {shown(self.scope_id)}"
        )
        counted = f"{self.spent} spent, {self.reserved} set aside"
        asked = f", {self.asked} asked for" if self.asked else ""
        anew = (
            "it never begins anew, until an admin sets another."
            if self.renew_time is None
            else f"it begins anew at {_time(self.renew_time)}, or an admin sets another."
        )
        return f"budget {self.budget_id} of {whose} allows {self.most} {self.unit}: {counted}{asked}; {anew}"

    @property
    def facts(self) -> Mapping[str, str]:
        """The same for programs."""
        return {
            "budget_id": self.budget_id,
            "scope": self.scope,
            "scope_id": self.scope_id,
            "unit": self.unit,
            "most": str(self.most),
            "spent": str(self.spent),
            "reserved": str(self.reserved),
            "asked": str(self.asked),
            "renew_time": "" if self.renew_time is None else _time(self.renew_time),
        }


def rules_for(rules: tuple[BudgetRule, ...], tier: Tier) -> tuple[BudgetRule, ...]:
    """Those that apply to agents of `tier`."""
    return tuple(rule for rule in rules if tier in rule.tiers) if rules else ()


def applied(hand: Mapping[tuple[BudgetScope, str], HandSet], draw: Draw) -> list[Applied]:
    """Every budget that `draw` counts against, whichever is the tightest."""
    found: list[Applied] = []
    for rule in draw.rules:
        scope_id = draw.scope_id(rule.scope)
        if scope_id or rule.scope is BudgetScope.TENANT:
            key = Key.of(f"set.{rule.id}", rule.scope, scope_id, rule.window_seconds, draw.agent_id)
            found.append(Applied(key, rule.limits))
    if hand:
        for scope in BudgetScope:
            scope_id = draw.scope_id(scope)
            by_hand = hand.get((scope, scope_id))
            if by_hand is not None:
                key = Key.of(HAND, scope, scope_id, by_hand.window_seconds, draw.agent_id)
                found.append(Applied(key, by_hand.limits))
    return found


def window_of(at: datetime, window_seconds: int) -> int:
    """Which window `at` is in, counted from 1970; 0 without windows."""
    return int(at.timestamp()) // window_seconds if window_seconds else 0


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
