"""A policy set: which tier may do what, where, and what needs a person's approval. Versioned, replaced as a whole.

Here it is compiled into one row per tier, environment and action, and one list of flow rules per label, environment and
action, so that a decision is a single lookup however many rules there are. What the set does not name is not allowed.
`policyset_document` reads it from a loaded mapping; `policyset_published` says which one is in force.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.policy.domain.pattern import AnyOf, first_match
from services.policy.domain.policyset_rules import ApprovalRule, Capability, FlowRule, Rules
from services.policy.domain.policyset_tests import SetTest
from services.policy.domain.tier import Tier, up_to

Place = tuple[Tier, str, str]
"""Tier, environment, action."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one tier has of an action; `targets` is empty when every target will do."""

    rule: str
    targets: tuple[str, ...]
    _any: AnyOf = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_any", AnyOf(self.targets))

    def covers(self, target: str) -> bool:
        return not self.targets or self._any.matches(target)


@dataclass(frozen=True, slots=True)
class Row:
    """All that a tier may do with one action in one environment: its own grant last, those of lower tiers before.

    `approval_rules` are all that ask for people, in the order of the set; a decision names the first.
    """

    grants: tuple[Grant, ...]
    approval_rule: str | None
    approval_rules: tuple[str, ...] = ()


class PolicySet:
    """A compiled set. Immutable once built."""

    def __init__(
        self,
        version: str,
        actions: Mapping[str, str],
        ttl_seconds: Mapping[Tier, int],
        capabilities: tuple[Capability, ...],
        approval_rules: tuple[ApprovalRule, ...],
        rules: Rules = Rules(),  # noqa: B008 - frozen
        tests: tuple[SetTest, ...] = (),
    ) -> None:
        self.version = version
        self.rules = rules
        self.tests = tests
        self.capabilities = capabilities
        self.approval_rules = {f"approval.{rule.id}": rule for rule in approval_rules}
        self.actions = dict(actions)
        self.ttl_seconds = dict(ttl_seconds)
        matched = _Matched(self.actions)
        self._rows = _rows(matched, capabilities, approval_rules)
        self._flows: dict[tuple[str, str, str], _Flows] = _flows(matched, rules.flows)
        self._kept = frozenset(label for rule in rules.flows for label in rule.labels)
        self._rules_read_labels = any(module.may_read_labels for module in rules.rego)

    def row(self, tier: Tier, environment: str, action: str) -> Row | None:
        """What `tier` may do with `action` in `environment`; None when it may not at all."""
        return self._rows.get((tier, environment, action))

    def rows(self) -> Mapping[Place, Row]:
        """Every row there is."""
        return self._rows

    def least_tier(self, environment: str, action: str, target: str) -> Tier | None:
        """The lowest tier that may do this."""
        for tier in Tier:
            row = self.row(tier, environment, action)
            if row is not None and any(grant.covers(target) for grant in row.grants):
                return tier
        return None

    def flow(self, labels: Iterable[str], action: str, environment: str, target: str) -> FlowRule | None:
        """The first flow rule that keeps a run that carries `labels` from this."""
        found = [
            first
            for label in labels
            if (flows := self._flows.get((label, environment, action))) is not None
            and (first := flows.first(target)) is not None
        ]
        return min(found, key=lambda each: each[0])[1] if found else None

    def awaits(self, labels: Iterable[str], action: str, environment: str, target: str) -> bool:
        """Whether a run that carries `labels` could be kept from this by one more."""
        if self._rules_read_labels:
            return True
        more = self._kept.difference(labels)
        return bool(more) and self.flow(more, action, environment, target) is not None


class _Matched:
    """Which actions each pattern stands for, found out once."""

    def __init__(self, actions: Iterable[str]) -> None:
        self._actions = tuple(actions)
        self._known: dict[str, tuple[str, ...]] = {}

    def by(self, patterns: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(action for pattern in patterns for action in self._by_one(pattern)))

    def _by_one(self, pattern: str) -> tuple[str, ...]:
        if pattern not in self._known:
            self._known[pattern] = tuple(each for each in self._actions if first_match((pattern,), each))
        return self._known[pattern]


class _Flows:
    """Flow rules of one label, environment and action, in the order of the set."""

    __slots__ = ("_any", "_rules")

    def __init__(self, rules: list[tuple[int, FlowRule]]) -> None:
        self._rules = rules
        self._any = AnyOf(target for _, rule in rules for target in rule.targets)

    def first(self, target: str) -> tuple[int, FlowRule] | None:
        if not self._any.matches(target):
            return None
        return next(each for each in self._rules if first_match(each[1].targets, target) is not None)


def _rows(
    matched: _Matched, capabilities: tuple[Capability, ...], approval_rules: tuple[ApprovalRule, ...]
) -> dict[Place, Row]:
    own: dict[Place, list[str]] = {}
    for each in capabilities:
        for action in matched.by(each.actions):
            for environment in each.environments:
                own.setdefault((each.tier, environment, action), []).extend(each.targets)
    granted = {place: _grant(place[0], targets) for place, targets in own.items()}
    asking: dict[Place, list[str]] = {}
    for rule in approval_rules:
        for action in matched.by(rule.actions):
            for environment in rule.environments:
                for tier in rule.tiers:
                    asking.setdefault((tier, environment, action), []).append(f"approval.{rule.id}")
    rows: dict[Place, Row] = {}
    for tier in Tier:
        included = up_to(tier)
        for environment, action in dict.fromkeys(place[1:] for place in granted if place[0] in included):
            grants = (granted.get((each, environment, action)) for each in included)
            place = (tier, environment, action)
            asks = tuple(asking.get(place, ()))
            rows[place] = Row(
                tuple(each for each in grants if each is not None), next(iter(asks), None), asks
            )
    return rows


def _grant(tier: Tier, targets: list[str]) -> Grant:
    return Grant(f"tier.{tier}", () if "*" in targets else tuple(dict.fromkeys(targets)))


def _flows(matched: _Matched, rules: tuple[FlowRule, ...]) -> dict[tuple[str, str, str], _Flows]:
    found: dict[tuple[str, str, str], list[tuple[int, FlowRule]]] = {}
    for n, rule in enumerate(rules):
        for action in matched.by(rule.actions):
            for environment in rule.environments:
                for label in rule.labels:
                    found.setdefault((label, environment, action), []).append((n, rule))
    return {key: _Flows(these) for key, these in found.items()}
