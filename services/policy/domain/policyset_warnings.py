"""What a policy set may say and its author may not have meant: it is published all the same, and told."""

from collections.abc import Iterator

from services.policy.domain.pattern import covers_all, first_match
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import Capability, Publishing
from services.policy.domain.rego_text import read_module
from services.policy.domain.tier import up_to

MOST_COMPARED = 1_000_000
"""Pairs of patterns: a second's work. Beyond, a set is too large to be held against itself."""


class _Enough(Exception):
    """As many patterns were compared as there is time for."""


class _Comparing:
    def __init__(self) -> None:
        self._left = MOST_COMPARED

    def covers(self, wide: str, narrow: str) -> bool:
        """Raises _Enough."""
        self._left -= 1
        if self._left < 0:
            raise _Enough
        return covers_all(wide, narrow)


def warnings(policy: PolicySet) -> Iterator[tuple[str, str]]:
    """Path and text of each."""
    yield from _unused_actions(policy)
    try:
        yield from _capabilities(policy, _Comparing())
    except _Enough:
        yield "tiers", "there are too many patterns to compare all of them: more may overlap"
    yield from _silent_approvals(policy)
    yield from _silent_flows(policy)
    yield from _unused_labels(policy)
    yield from _untested_rules(policy)
    yield from _open_gate(policy.rules.publishing)


def _unused_actions(policy: PolicySet) -> Iterator[tuple[str, str]]:
    used = {action for _, _, action in policy.rows()}
    for action in policy.actions:
        if action not in used:
            yield f"actions/{action}", "no tier may do this anywhere"


def _capabilities(policy: PolicySet, comparing: _Comparing) -> Iterator[tuple[str, str]]:
    """Patterns that overlap, within one list and between capabilities of the same or a lower tier."""
    counts: dict[str, int] = {}
    placed: list[tuple[str, Capability]] = []
    for each in policy.capabilities:
        n = counts.setdefault(each.tier, 0)
        counts[each.tier] += 1
        placed.append((f"tiers/{each.tier}/capabilities/{n}", each))
    for path, each in placed:
        yield from _overlaps(f"{path}/actions", each.actions, comparing)
        yield from _overlaps(f"{path}/targets", each.targets, comparing)
    for n, (path, each) in enumerate(placed):
        for m, (other_path, other) in enumerate(placed):
            if n == m or not _adds_nothing(each, other, comparing):
                continue
            if m < n or not _adds_nothing(other, each, comparing):
                yield path, f"adds nothing: {other_path} has all of it"
                break


def _adds_nothing(each: Capability, other: Capability, comparing: _Comparing) -> bool:
    covers = comparing.covers
    return (
        other.tier in up_to(each.tier)
        and set(each.environments) <= set(other.environments)
        and all(any(covers(wide, narrow) for wide in other.actions) for narrow in each.actions)
        and all(any(covers(wide, narrow) for wide in other.targets) for narrow in each.targets)
    )


def _overlaps(path: str, patterns: tuple[str, ...], comparing: _Comparing) -> Iterator[tuple[str, str]]:
    wide = [pattern for pattern in patterns if "*" in pattern]
    seen: set[str] = set()
    for n, narrow in enumerate(patterns):
        for pattern in wide:
            if pattern != narrow and comparing.covers(pattern, narrow):
                yield f"{path}/{n}", f"{narrow!r} overlaps with {pattern!r}, which covers it"
                break
        if narrow in seen:
            yield f"{path}/{n}", f"{narrow!r} is there twice"
        seen.add(narrow)


def _silent_approvals(policy: PolicySet) -> Iterator[tuple[str, str]]:
    speaking = {rule for row in policy.rows().values() for rule in row.approval_rules}
    for n, (name, rule) in enumerate(policy.approval_rules.items()):
        about = [action for action in policy.actions if first_match(rule.actions, action) is not None]
        if about and name not in speaking:
            yield f"approvals/{n}", "can never ask: no tier may do what it is about"


def _silent_flows(policy: PolicySet) -> Iterator[tuple[str, str]]:
    possible = {(environment, action) for _, environment, action in policy.rows()}
    for n, rule in enumerate(policy.rules.flows):
        if not any(
            environment in rule.environments and first_match(rule.actions, action) is not None
            for environment, action in possible
        ):
            yield f"flows/{n}", "can never refuse: no tier may do what it is about"


def _unused_labels(policy: PolicySet) -> Iterator[tuple[str, str]]:
    used = {label for rule in policy.rules.flows for label in rule.labels}
    for label in policy.rules.labels or ():
        if label not in used and not policy.rules.rego:
            yield f"labels/{label}", "no flow rule is about this label: it keeps nobody from anything"


def _untested_rules(policy: PolicySet) -> Iterator[tuple[str, str]]:
    expected = {test.expected.rule for test in policy.tests}
    for n, rule in enumerate(policy.rules.rego):
        if not rule.test and f"rule.{rule.id}" not in expected and not read_module(rule.text).tests:
            yield f"rules/{n}", f"{rule.id} has no `test`: nothing shows that it speaks when it should"


def _open_gate(publishing: Publishing) -> Iterator[tuple[str, str]]:
    if publishing != Publishing() and not publishing.gates:
        missing = "most_flips" if publishing.simulate_days else "simulate_days"
        yield "publishing", f"keeps nothing from replacing this set: {missing} is needed, too"
