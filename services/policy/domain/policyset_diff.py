"""Who may do what under one policy set, and otherwise under another."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.policy.domain.action import ENVIRONMENTS
from services.policy.domain.amounts import NOTHING, Amounts, Unit, cost_of
from services.policy.domain.pattern import covers_all
from services.policy.domain.policyset import PolicySet, Row
from services.policy.domain.policyset_rules import (
    ApprovalRule,
    BudgetRule,
    DemotionRule,
    FlowRule,
    PromotionRule,
    Publishing,
)
from services.policy.domain.tier import Tier


@dataclass(frozen=True, slots=True)
class Difference:
    """`before` and `after` are empty where there was nothing; `wider`: it allows what was refused, or asks for less."""

    kind: str
    before: str
    after: str
    wider: bool
    tier: Tier | None = None
    environment: str = ""
    action: str = ""


def differences(old: PolicySet, new: PolicySet) -> Iterator[Difference]:
    """All of them, the tier table first."""
    yield from _table(old, new)
    for tier in Tier:
        before, after = old.ttl_seconds[tier], new.ttl_seconds[tier]
        if before != after:
            yield Difference("ttl", f"{before} s", f"{after} s", after > before, tier)
    for action in _either(old.actions, new.actions):
        if (action in old.actions) != (action in new.actions):
            known = action in new.actions
            text = "known" if known else ""
            yield Difference("action", "" if known else "known", text, known, action=action)
    yield from _named("approval", old.approval_rules, new.approval_rules, _approval, adds_power=False)
    yield from _labels(old.rules.labels, new.rules.labels)
    if old.rules.stuck_seconds != new.rules.stuck_seconds:
        # Where it is not said it is as state is set up, which nobody knows here: wider, when in doubt.
        soon, late = old.rules.stuck_seconds, new.rules.stuck_seconds
        texts = [f"after {each} s" if each else "" for each in (soon, late)]
        yield Difference("stuck", texts[0], texts[1], not soon or not late or late > soon)
    yield from _named("flow", _by_id(old.rules.flows), _by_id(new.rules.flows), _flow, adds_power=False)
    yield from _named(
        "budget", _by_id(old.rules.budgets), _by_id(new.rules.budgets), _budget, adds_power=False
    )
    old_up, new_up = _by_id(old.rules.promotions), _by_id(new.rules.promotions)
    yield from _named("promotion", old_up, new_up, _promotion, adds_power=True)
    old_down, new_down = _by_id(old.rules.demotions), _by_id(new.rules.demotions)
    yield from _named("demotion", old_down, new_down, _demotion, adds_power=False)
    yield from _named("rule", _by_id(old.rules.rego), _by_id(new.rules.rego), _module, adds_power=False)
    yield from _prices(old, new)
    gates = old.rules.publishing, new.rules.publishing
    asked, asks = (_publishing(each) for each in gates)
    if asked != asks:
        yield Difference("publishing", asked, asks, _opened(*gates))


def _prices(old: PolicySet, new: PolicySet) -> Iterator[Difference]:
    """What each action that both know costs at least: the first pattern that matches says it."""
    for action in old.actions:
        if action in new.actions:
            before, after = (cost_of(action, "", NOTHING, each.rules.prices) for each in (old, new))
            if before != after:
                wider = any(after.of(unit) < before.of(unit) for unit in Unit)
                yield Difference("price", _price(before), _price(after), wider, action=action)


def _opened(before: Publishing, after: Publishing) -> bool:
    """Whether `after` is replaced more easily."""
    if before.most_flips is None or not before.gates:
        return False
    if after.most_flips is None or not after.gates:
        return True
    return after.most_flips > before.most_flips or after.simulate_days < before.simulate_days


def _labels(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> Iterator[Difference]:
    """Which may be used, one by one, or that any may."""
    if (old is None) != (new is None):
        yield Difference("label", "any" if old is None else "", "any" if new is None else "", new is None)
    for label in _either(old or {}, new or {}):
        if (label in (old or {})) != (label in (new or {})):
            added = label in (new or {})
            texts = ("", label) if added else (label, "")
            yield Difference("label", *texts, added and old is not None)


def _table(old: PolicySet, new: PolicySet) -> Iterator[Difference]:
    for action in _either(old.actions, new.actions):
        for environment in ENVIRONMENTS:
            for tier in Tier:
                before, after = (each.row(tier, environment, action) for each in (old, new))
                if _grants(before) != _grants(after):
                    wider = _widens(before, after)
                    yield Difference(
                        "capability", _targets(before), _targets(after), wider, tier, environment, action
                    )
                if before is not None and after is not None and before.approval_rules != after.approval_rules:
                    asked, asks = before.approval_rules, after.approval_rules
                    wider = not set(asked) <= set(asks)
                    texts = ", ".join(asked), ", ".join(asks)
                    yield Difference("approval", *texts, wider, tier, environment, action)


def _grants(row: Row | None) -> tuple[str, ...] | None:
    if row is None:
        return None
    if any(not grant.targets for grant in row.grants):
        return ("*",)
    return tuple(sorted({target for grant in row.grants for target in grant.targets}))


def _widens(before: Row | None, after: Row | None) -> bool:
    old, new = _grants(before) or (), _grants(after) or ()
    return not _within(new, old)


def _targets(row: Row | None) -> str:
    targets = _grants(row)
    if targets is None:
        return ""
    shown = ", ".join(targets[:20]) + (f" and {len(targets) - 20} more" if len(targets) > 20 else "")
    return f"allowed on {shown}"


def _named(
    kind: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    shown: Callable[[Any], str],
    *,
    adds_power: bool,
) -> Iterator[Difference]:
    """What is called the same is compared; whether a changed one asks for less is said by `_eased`."""
    for name in _either(old, new):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        wider = adds_power == (before is None) if before is None or after is None else _eased(before, after)
        before_text = f"{name}: {shown(before)}" if before is not None else ""
        after_text = f"{name}: {shown(after)}" if after is not None else ""
        yield Difference(kind, before_text, after_text, wider, getattr(after or before, "tier", None))


def _eased(before: Any, after: Any) -> bool:
    """Whether `after` asks for less than `before`, of the same kind; yes when in doubt."""
    match before, after:
        case ApprovalRule(), ApprovalRule():
            return not (
                after.needs >= before.needs
                and _within(before.tiers, after.tiers)
                and _within(before.actions, after.actions)
                and _within(before.environments, after.environments)
                and (after.approvers == before.approvers or bool(after.approvers and not before.approvers))
            )
        case FlowRule(), FlowRule():
            pairs = (
                (before.labels, after.labels),
                (before.actions, after.actions),
                (before.environments, after.environments),
                (before.targets, after.targets),
            )
            return not all(_within(old, new) for old, new in pairs)
        case BudgetRule(), BudgetRule():
            return not (
                before.scope == after.scope
                and before.window_seconds == after.window_seconds
                and _within(before.tiers, after.tiers)
                and all(
                    unit in after.limits and after.limits[unit] <= most
                    for unit, most in before.limits.items()
                )
            )
        case PromotionRule(), PromotionRule():
            return (
                before.tier != after.tier
                or after.compliant_in_row < before.compliant_in_row
                or after.most_violations > before.most_violations
                or (before.needs_approval and not after.needs_approval)
            )
        case DemotionRule(), DemotionRule():
            return before.tier != after.tier or after.violations > before.violations
        case _:
            return True


def _within(narrow: tuple[str, ...], wide: tuple[str, ...]) -> bool:
    same = frozenset(wide)  # two sets are alike in most, and each with each would take long
    return all(each in same or any(covers_all(pattern, each) for pattern in wide) for each in narrow)


def _either(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*old, *new)))


def _by_id(rules: tuple[Any, ...]) -> dict[str, Any]:
    return {rule.id: rule for rule in rules}


def _where(rule: ApprovalRule | FlowRule) -> str:
    return f"{', '.join(rule.actions)} in {', '.join(rule.environments)}"


def _approval(rule: ApprovalRule) -> str:
    of = f" of {', '.join(rule.approvers)}" if rule.approvers else ""
    return f"{rule.needs}{of} for {_where(rule)}, {', '.join(rule.tiers)}, {rule.ttl_seconds} s"


def _flow(rule: FlowRule) -> str:
    return f"{', '.join(rule.labels)} not into {_where(rule)}, to {', '.join(rule.targets)}"


def _budget(rule: BudgetRule) -> str:
    limits = ", ".join(f"{unit.value.lower()} {most}" for unit, most in rule.limits.items())
    window = f" every {rule.window_seconds} s" if rule.window_seconds else ""
    return f"{rule.scope.value.lower()}, {', '.join(rule.tiers)}: at most {limits}{window}"


def _promotion(rule: PromotionRule) -> str:
    asks = "by approval" if rule.needs_approval else "by itself"
    return (
        f"from {rule.tier} after {rule.compliant_in_row} in a row, {rule.most_violations} violations, {asks}"
    )


def _demotion(rule: DemotionRule) -> str:
    return f"from {rule.tier} after {rule.violations} violations"


def _price(cost: Amounts) -> str:
    return ", ".join(f"{unit.value.lower()} {cost.of(unit)}" for unit in Unit if cost.of(unit))


def _publishing(asked: Publishing) -> str:
    if not asked.gates:
        return ""
    return f"replaced by what changes at most {asked.most_flips} decisions of {asked.simulate_days} days"


def _module(rule: Any) -> str:
    return f"{len(rule.text.splitlines())} lines of Rego"
