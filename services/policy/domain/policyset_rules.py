"""The parts a policy set is made of, as they are written. How they are compiled and asked is elsewhere."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from services.policy.domain.amounts import Amounts, Unit
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.tier import Tier

_NOT_PLAIN = re.compile(
    r"\binput\b(?!\.(?:action|agent|packet|time)\b|\.run\.(?:id|task_id|mode|steps_done)\b)"
)
"""Where a rule's text names its input, but for the parts of `rules.rule_input` beside the labels."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What a tier, and every higher one, may do."""

    tier: Tier
    actions: tuple[str, ...]
    environments: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """What needs people's approval, whatever the mode: all conditions hold. `needs` of `approvers` say yes."""

    id: str
    tiers: tuple[Tier, ...]
    actions: tuple[str, ...]
    environments: tuple[str, ...]
    needs: int = 1
    approvers: tuple[str, ...] = ()
    ttl_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class FlowRule:
    """A run that carries any of `labels` may not do this, whatever each step alone may."""

    id: str
    labels: tuple[str, ...]
    actions: tuple[str, ...]
    environments: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """How much may be spent in one scope: by the agents of `tiers`; anew in each window, or once and for all (0)."""

    id: str
    scope: BudgetScope
    tiers: tuple[Tier, ...]
    limits: Mapping[Unit, int]
    window_seconds: int = 0


@dataclass(frozen=True, slots=True)
class PromotionRule:
    """When an agent of `tier` moves up: so many verified, compliant runs in a row, and at most so many violations."""

    id: str
    tier: Tier
    compliant_in_row: int
    most_violations: int = 0
    needs_approval: bool = True


@dataclass(frozen=True, slots=True)
class DemotionRule:
    """When an agent of `tier` moves one down: so many violations since it got there."""

    id: str
    tier: Tier
    violations: int


@dataclass(frozen=True, slots=True)
class RegoModule:
    """A custom rule file, Rego v1, package `provost.rules.<id>`; `test` is one with its tests, and may be empty."""

    id: str
    text: str
    test: str = ""

    @property
    def may_read_labels(self) -> bool:
        """Whether it reads the run's labels, or something of its input that is not named in plain words."""
        return _NOT_PLAIN.search(self.text) is not None


@dataclass(frozen=True, slots=True)
class Publishing:
    """Before this set is replaced: the new one decides so many days anew, with at most so many flips."""

    simulate_days: int = 0
    most_flips: int | None = None

    @property
    def gates(self) -> bool:
        """Whether it can keep anything from replacing the set: one of both alone does not."""
        return self.simulate_days > 0 and self.most_flips is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a set says beside its table. `labels` is None when the set names none."""

    labels: Mapping[str, str] | None = None
    flows: tuple[FlowRule, ...] = ()
    budgets: tuple[BudgetRule, ...] = ()
    prices: Mapping[str, Amounts] = field(default_factory=lambda: MappingProxyType({}))
    promotions: tuple[PromotionRule, ...] = ()
    demotions: tuple[DemotionRule, ...] = ()
    rego: tuple[RegoModule, ...] = ()
    publishing: Publishing = Publishing()
    stuck_seconds: int = 0
    """How long an agent at work may get nowhere before it is said to be stuck; 0: the set does not say."""
