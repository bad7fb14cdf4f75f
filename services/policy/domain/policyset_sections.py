"""What a policy set may say beside its table, section by section: each entry read from a loaded value."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from services.policy.domain.action import ENVIRONMENTS
from services.policy.domain.amounts import Amounts, Unit
from services.policy.domain.limits import MAX_WINDOW_SECONDS
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.policyset_reading import (
    TIERS,
    Problems,
    action_patterns,
    flag,
    listed,
    mapping,
    matching_some,
    name,
    number,
    one_of,
    some_of,
    text,
    texts,
    tier,
    tiers,
)
from services.policy.domain.policyset_rules import (
    BudgetRule,
    DemotionRule,
    FlowRule,
    PromotionRule,
    Publishing,
    RegoModule,
    Rules,
)
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.tier import Tier, step

SECTIONS = (
    "labels", "flows", "budgets", "prices", "promotions", "demotions", "rules", "publishing",
    "stuck_seconds",
)  # fmt: skip
_PRICED = ("actions", "tokens", "money_micros")
MAX_MODULES = 100
MAX_MODULE = 200_000
STUCK_SECONDS = range(1, 3601)

_LABEL = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_MODULE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def read_rules(top: Mapping[Any, Any], actions: Mapping[str, str], problems: Problems) -> Rules:
    """All sections beside the table. What is wrong is noted in `problems`, and left out."""
    labels = _labels(top["labels"], problems) if "labels" in top else None
    flows = problems.named(top.get("flows", ()), "flows", lambda v, p: _flow(v, p, actions, labels))
    budgets = problems.named(top.get("budgets", ()), "budgets", _budget)
    promotions = problems.named(top.get("promotions", ()), "promotions", _promotion)
    demotions = problems.named(top.get("demotions", ()), "demotions", _demotion)
    rego = problems.named(top.get("rules", ()), "rules", _module, MAX_MODULES)
    publishing = Publishing()
    with problems.noted():
        publishing = _publishing(top.get("publishing", {}))
    stuck_seconds = 0
    if "stuck_seconds" in top:
        with problems.noted():
            least, most = STUCK_SECONDS.start, STUCK_SECONDS.stop - 1
            stuck_seconds = number(top["stuck_seconds"], "stuck_seconds", least, most)
    return Rules(
        MappingProxyType(labels) if labels is not None else None,
        flows,
        budgets,
        MappingProxyType(_prices(top.get("prices", {}), actions, problems)),
        promotions,
        demotions,
        rego,
        publishing,
        stuck_seconds,
    )


def _labels(value: object, problems: Problems) -> dict[str, str]:
    labels: dict[str, str] = {}
    with problems.noted():
        if not isinstance(value, Mapping) or len(value) > 100:
            raise PolicySetInvalid("must name at most 100 labels, each with a description", "labels")
        for label, description in value.items():
            with problems.noted():
                if not isinstance(label, str) or _LABEL.fullmatch(label) is None:
                    raise PolicySetInvalid(f"{label!r} is not a name like 'secret'", f"labels/{label}")
                labels[label] = text(description, f"labels/{label}")
    return labels


def _flow(value: object, path: str, actions: Mapping[str, str], labels: Mapping[str, str] | None) -> FlowRule:
    entry = mapping(value, path, ("id", "labels", "actions"), optional=("environments", "targets"))
    if labels is None:
        raise PolicySetInvalid("needs labels: name them under labels, each with a description", path)
    return FlowRule(
        name(entry["id"], f"{path}/id"),
        some_of(tuple(labels), entry["labels"], f"{path}/labels"),
        action_patterns(entry["actions"], f"{path}/actions", actions),
        some_of(ENVIRONMENTS, entry.get("environments", ENVIRONMENTS), f"{path}/environments"),
        texts(entry.get("targets", ("*",)), f"{path}/targets"),
    )


def _budget(value: object, path: str) -> BudgetRule:
    entry = mapping(value, path, ("id", "scope", "limits"), optional=("tiers", "window_seconds"))
    units = tuple(unit.value.lower() for unit in Unit)
    limits = mapping(entry["limits"], f"{path}/limits", (), units)
    if not limits:
        raise PolicySetInvalid(f"must limit some of {', '.join(units)}", f"{path}/limits")
    scopes = tuple(scope.value.lower() for scope in BudgetScope)
    return BudgetRule(
        name(entry["id"], f"{path}/id"),
        BudgetScope(one_of(scopes, entry["scope"], f"{path}/scope").upper()),
        tiers(entry.get("tiers", TIERS), f"{path}/tiers"),
        MappingProxyType({Unit(u.upper()): number(most, f"{path}/limits/{u}") for u, most in limits.items()}),
        number(entry.get("window_seconds", 0), f"{path}/window_seconds", 0, MAX_WINDOW_SECONDS),
    )


def _prices(value: object, actions: Mapping[str, str], problems: Problems) -> dict[str, Amounts]:
    prices: dict[str, Amounts] = {}
    with problems.noted():
        if not isinstance(value, Mapping) or len(value) > 500:
            raise PolicySetInvalid("must be at most 500 action patterns, each with what it costs", "prices")
        for pattern, cost in value.items():
            with problems.noted():
                path = f"prices/{pattern}"
                matching_some(text(pattern, path), path, actions)
                entry = mapping(cost, path, (), _PRICED)
                read = {unit: number(entry.get(unit, 0), f"{path}/{unit}") for unit in _PRICED}
                prices[pattern] = Amounts(read["actions"], read["tokens"], read["money_micros"])
    return prices


def _promotion(value: object, path: str) -> PromotionRule:
    entry = mapping(
        value, path, ("id", "tier", "compliant_in_row"), optional=("most_violations", "needs_approval")
    )
    from_tier = tier(entry["tier"], f"{path}/tier")
    to_tier = step(from_tier, 1)
    if to_tier is None:
        raise PolicySetInvalid(f"there is no tier above {from_tier}", f"{path}/tier")
    needs_approval = flag(entry.get("needs_approval", True), f"{path}/needs_approval")
    if to_tier is Tier.T4_ARCHITECT and not needs_approval:
        raise PolicySetInvalid(
            f"nobody becomes {to_tier} without an approval: it must be true", f"{path}/needs_approval"
        )
    return PromotionRule(
        name(entry["id"], f"{path}/id"),
        from_tier,
        number(entry["compliant_in_row"], f"{path}/compliant_in_row", 1, 1_000_000),
        number(entry.get("most_violations", 0), f"{path}/most_violations", 0, 1_000_000),
        needs_approval,
    )


def _demotion(value: object, path: str) -> DemotionRule:
    entry = mapping(value, path, ("id", "tier", "violations"))
    from_tier = tier(entry["tier"], f"{path}/tier")
    if step(from_tier, -1) is None:
        raise PolicySetInvalid(f"there is no tier below {from_tier}", f"{path}/tier")
    violations = number(entry["violations"], f"{path}/violations", 1, 1_000_000)
    return DemotionRule(name(entry["id"], f"{path}/id"), from_tier, violations)


def _module(value: object, path: str) -> RegoModule:
    entry = mapping(value, path, ("id", "rego"), optional=("test",))
    id_ = text(entry["id"], f"{path}/id")
    if _MODULE.fullmatch(id_) is None or id_.endswith("_test"):
        raise PolicySetInvalid(
            "must be up to 64 small letters, digits and '_', as 'no_friday_drains', and not end in '_test'",
            f"{path}/id",
        )
    test = text(entry["test"], f"{path}/test", MAX_MODULE) if "test" in entry else ""
    return RegoModule(id_, text(entry["rego"], f"{path}/rego", MAX_MODULE), test)


def _publishing(value: object) -> Publishing:
    entry = mapping(value, "publishing", (), ("simulate_days", "most_flips"))
    most = entry.get("most_flips")
    return Publishing(
        number(entry.get("simulate_days", 0), "publishing/simulate_days", 0, 366),
        None if most is None else number(most, "publishing/most_flips", 0, 10**9),
    )


def approvers(value: object, path: str) -> tuple[str, ...]:
    """Keys of people, as `key:alice`."""
    found: list[str] = []
    for n, each in enumerate(listed(value, path, 100)):
        given = text(each, f"{path}/{n}", 100)
        if not given.startswith("key:"):
            raise PolicySetInvalid(f"{given!r} is no person's key, as 'key:alice' is", f"{path}/{n}")
        if given in found:
            raise PolicySetInvalid(f"{given!r} is named twice", f"{path}/{n}")
        found.append(given)
    return tuple(found)
